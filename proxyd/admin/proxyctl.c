/* SPDX-License-Identifier: ISC
 *
 * proxyctl: what an administrator asks of proxyd. Arguments and the password are read here;
 * `lookup` is lookup.c's, and asks with the code that the daemon runs. */
#include "admin/lookup.h"
#include "base/mem.h"

#include <getopt.h>
#include <signal.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_PATH "/etc/proxyd/conf.d"

static struct {
    const char *path, *service, *login;
    bool json, password;
} arguments = {.path = DEFAULT_PATH};

static int usage(void)
{
    fputs("usage: proxyctl [-c PATH] [--json] lookup [--service S] [--password-stdin] LOGIN\n"
          "  -c PATH           the configuration: a YAML file, or a folder whose *.yaml are read\n"
          "                    in name order (default " DEFAULT_PATH ")\n"
          "  --json            answer in JSON\n"
          "  lookup LOGIN      which node a login lives on, and why\n"
          "  --service S       as this service does it; else all of them\n"
          "  --password-stdin  read a password, a line, and tell whether it is right\n",
          stderr);
    return EX_USAGE;
}

/* False: not to be understood. */
static bool parse(int argc, char **argv)
{
    static const struct option options[] = {{"service", required_argument, NULL, 's'},
                                            {"password-stdin", no_argument, NULL, 'p'},
                                            {"json", no_argument, NULL, 'j'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (option == 'c')
            arguments.path = optarg;
        else if (option == 's')
            arguments.service = optarg;
        else if (option == 'p')
            arguments.password = true;
        else if (option == 'j')
            arguments.json = true;
        else
            return false;
    }
    if (argc - optind != 2 || !str_eq(str_of(argv[optind]), str_of("lookup")))
        return false;
    arguments.login = argv[optind + 1];
    return true;
}

/* The first line of standard input without its end, in BUFFER. One that does not fit is longer
 * than any password may be. */
static struct str read_line(char *buffer, size_t size)
{
    size_t n = 0;
    const char *end = NULL;
    for (ssize_t got = 1; got > 0 && n < size && !end; n += got > 0 ? (size_t)got : 0) {
        got = read(STDIN_FILENO, buffer + n, size - n);
        if (got > 0)
            end = memchr(buffer + n, '\n', (size_t)got);
    }
    return (struct str){buffer, end ? (size_t)(end - buffer) : n};
}

static void ask(struct lookup *l, const struct config *config, const struct config_service *service)
{
    char buffer[SECRET_MAX + 2];
    struct str password = {0};
    if (arguments.password)
        password = read_line(buffer, sizeof buffer);
    lookup_ask(l, config, service, arguments.login, password);
    mem_wipe(buffer, sizeof buffer);
}

static int lookup(struct config *config)
{
    struct lookup l;
    const struct config_service *service = NULL;
    if (arguments.service && !(service = lookup_service(config, arguments.service, stderr)))
        return EX_USAGE;
    ask(&l, config, service);
    (arguments.json ? lookup_print_json : lookup_print_text)(&l, stdout);
    int status = fflush(stdout) == 0 ? lookup_status(&l) : EX_IOERR;
    if (!lookup_end(&l))
        _exit(status);
    return status;
}

int main(int argc, char **argv)
{
    struct problems problems = {0};
    if (!parse(argc, argv))
        return usage();
    signal(SIGPIPE, SIG_IGN);
    log_set_levels(LOG_LEVEL_WARNING, NULL, 0);
    struct config *config = config_load(arguments.path, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    if (!config)
        return EX_CONFIG;
    int status = lookup(config);
    config_unref(config);
    return status;
}
