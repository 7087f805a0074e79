/* SPDX-License-Identifier: ISC
 *
 * proxyctl: what an administrator asks of proxyd. Arguments and the password are read here.
 * `lookup` is lookup.c's, and asks with the code that the daemon runs; all else goes to a running
 * daemon by proxyctl_ask.c. */
#include "admin/proxyctl.h"
#include "admin/lookup.h"
#include "base/mem.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_PATH   "/etc/proxyd/conf.d"
#define DEFAULT_SOCKET "/run/proxyd/control.sock"

enum { TRACE_TIME = 60000 }; /* ms */

static struct {
    const char *path, *socket; /* NULL: not given */
    bool json, password;
    const char *command, *operand; /* the words that are no options; NULL: none */
    struct control_request request;
} arguments;

static int usage(void)
{
    fputs("usage: proxyctl [-s SOCKET] [-c PATH] [--json] COMMAND\n"
          "  -s SOCKET     the daemon's control socket (default: what the configuration -c says,\n"
          "                else " DEFAULT_SOCKET ")\n"
          "  -c PATH       the configuration: a YAML file, or a folder whose *.yaml are read in\n"
          "                name order (for lookup, default " DEFAULT_PATH ")\n"
          "  --json        answer in JSON\n"
          "commands:\n"
          "  status                                how it is\n"
          "  sessions [--user U] [--node N] [--service S]\n"
          "  kick --user U | --node N | --session ID\n"
          "                                        closes sessions\n"
          "  drain NODE [--close [OVER]]           lets nobody new in there; closes sessions, in\n"
          "                                        the course of a time\n"
          "  undrain NODE\n"
          "  hold LOGIN                            new logins wait, sessions are closed\n"
          "  release LOGIN\n"
          "  reload                                reads the configuration again\n"
          "  flush [LOGIN]                         forgets what directories have answered\n"
          "  trace LOGIN|CLIENT-IP [--for TIME]    shows a dialogue as it goes on\n"
          "  pardon ADDRESS|all                    forgets what limits hold against clients\n"
          "  lookup [--service S] [--password-stdin] LOGIN\n"
          "                                        which node a login lives on, and why; needs\n"
          "                                        no running daemon\n",
          stderr);
    return EX_USAGE;
}

/* ---- arguments ---- */

static bool take_text(char *to, const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > CONTROL_TEXT_MAX)
        return false;
    memcpy(to, text, n + 1);
    return true;
}

static bool take_time(uint64_t *to, const char *text)
{
    return control_duration(text, to) && *to > 0;
}

/* The time behind --close may be left out: it is the next word if that is a time. */
static bool take_close(int argc, char **argv)
{
    struct control_request *r = &arguments.request;
    uint64_t over;
    r->close = true;
    if (optarg)
        return control_duration(optarg, &r->over);
    if (optind < argc && control_duration(argv[optind], &over)) {
        r->over = over;
        optind++;
    }
    return true;
}

static bool take_option(int option, int argc, char **argv)
{
    struct control_request *r = &arguments.request;
    switch (option) {
    case 'c':
        arguments.path = optarg;
        return true;
    case 's':
        arguments.socket = optarg;
        return true;
    case 'j':
        return arguments.json = true;
    case 'p':
        return arguments.password = true;
    case 'S':
        return take_text(r->service, optarg);
    case 'u':
        return take_text(r->user, optarg);
    case 'n':
        return take_text(r->node, optarg);
    case 'i':
        return take_text(r->session, optarg);
    case 'C':
        return take_close(argc, argv);
    case 'f':
        return take_time(&r->lasts, optarg);
    default:
        return false;
    }
}

/* False: not to be understood. */
static bool parse(int argc, char **argv)
{
    static const struct option options[] = {{"service", required_argument, NULL, 'S'},
                                            {"user", required_argument, NULL, 'u'},
                                            {"node", required_argument, NULL, 'n'},
                                            {"session", required_argument, NULL, 'i'},
                                            {"close", optional_argument, NULL, 'C'},
                                            {"for", required_argument, NULL, 'f'},
                                            {"password-stdin", no_argument, NULL, 'p'},
                                            {"json", no_argument, NULL, 'j'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "c:s:", options, NULL)) != -1;)
        if (!take_option(option, argc, argv))
            return false;
    arguments.command = argv[optind];
    arguments.operand = arguments.command ? argv[optind + 1] : NULL;
    return argc - optind == 1 || argc - optind == 2;
}

/* ---- a running daemon ---- */

/* Where the command's word that is no option belongs in the request; NULL: it takes none. */
static char *place_of_operand(struct control_request *r)
{
    switch (r->command) {
    case CONTROL_DRAIN:
    case CONTROL_UNDRAIN:
        return r->node;
    case CONTROL_HOLD:
    case CONTROL_RELEASE:
    case CONTROL_FLUSH:
        return r->user;
    case CONTROL_TRACE:
    case CONTROL_PARDON:
        return r->who;
    default:
        return NULL;
    }
}

static bool complete(struct control_request *r)
{
    char error[CONTROL_ERROR];
    char *place = place_of_operand(r);
    bool good = !arguments.password &&
                (!arguments.operand || (place && !*place && take_text(place, arguments.operand)));
    if (good && r->command == CONTROL_TRACE && !r->lasts)
        r->lasts = TRACE_TIME;
    if (good && control_request_check(r, error))
        return true;
    if (good)
        fprintf(stderr, "proxyctl: %s\n", error);
    return false;
}

static struct config *load(const char *path)
{
    struct problems problems = {0};
    log_set_levels(LOG_LEVEL_WARNING, NULL, 0);
    struct config *config = config_load(path, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    return config;
}

/* The socket's path, to be freed; NULL: the configuration has an error. */
static char *find_socket(void)
{
    if (arguments.socket || !arguments.path)
        return xstrdup(arguments.socket ? arguments.socket : DEFAULT_SOCKET);
    struct config *config = load(arguments.path);
    if (!config)
        return NULL;
    char *path = xstrdup(config->global.control_socket);
    config_unref(config);
    return path;
}

static int order(void)
{
    if (!complete(&arguments.request))
        return usage();
    char *path = find_socket();
    int status = path ? proxyctl_ask(path, &arguments.request, arguments.json) : EX_CONFIG;
    free(path);
    return status;
}

/* ---- lookup ---- */

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
    lookup_ask(l, config, service, arguments.operand, password);
    mem_wipe(buffer, sizeof buffer);
}

static int answer(const struct config *config)
{
    struct lookup l;
    const char *name = arguments.request.service;
    const struct config_service *service = NULL;
    if (*name && !(service = lookup_service(config, name, stderr)))
        return EX_USAGE;
    ask(&l, config, service);
    (arguments.json ? lookup_print_json : lookup_print_text)(&l, stdout);
    int status = fflush(stdout) == 0 ? lookup_status(&l) : EX_IOERR;
    if (!lookup_end(&l))
        _exit(status);
    return status;
}

static int lookup(void)
{
    const struct control_request *r = &arguments.request;
    bool good = arguments.operand && !*r->user && !*r->node && !*r->session && !r->close;
    if (!good || r->lasts || arguments.socket)
        return usage();
    struct config *config = load(arguments.path ? arguments.path : DEFAULT_PATH);
    if (!config)
        return EX_CONFIG;
    int status = answer(config);
    config_unref(config);
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (!parse(argc, argv))
        return usage();
    if (strcmp(arguments.command, "lookup") == 0)
        return lookup();
    return control_command_find(arguments.command, &arguments.request.command) ? order() : usage();
}
