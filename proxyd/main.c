/* SPDX-License-Identifier: ISC
 *
 * proxyd: arguments, start, privileges, signals, reload, end. The main thread serves nobody itself:
 * it tells the crew of workers what to serve (crew.h) and watches the map files (map_watch.h). */
#include "admin/admin.h"
#include "admin/control.h"
#include "base/log.h"
#include "base/mem.h"
#include "client.h"
#include "clock.h"
#include "config.h"
#include "crew.h"
#include "inherit.h"
#include "limit.h"
#include "listener.h"
#include "map_watch.h"
#include "memory.h"
#include "net/splice.h"
#include "node.h"
#include "notify.h"
#include "sandbox.h"
#include "stats.h"
#include "upgrade.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

#define DEFAULT_PATH "/etc/proxyd/conf.d"
#define POOL_SIZE    "8" /* threads of the pool: for files, names and passwords */

enum {
    DESCRIPTORS_LEAST = 16,      /* libuv aborts where it gets none for its own needs */
    DESCRIPTORS_AT_ONCE = 65536, /* half a MiB of the kernel's memory */
    LAST_PATIENCE = 10000        /* ms, when all sessions have been told to end */
};

/* How far the end is. */
enum ending {
    ENDING_NOT,
    ENDING_HANDED_OVER, /* another process serves; our sessions have their time */
    ENDING_STOPPED      /* we were told to end: told once more, we end at once */
};

static struct {
    const char *path;
    uv_loop_t loop;
    struct config *config;
    struct listen_set *set;
    struct map_watch *watch;
    uv_signal_t signals[5];
    uv_timer_t grace;
    uv_timer_t settle;           /* while workers go over to a new configuration */
    struct listen_set *retiring; /* the sockets of the old one, until then */
    enum ending ending;
    bool reload_again; /* HUP came while a reload was under way */
    uv_work_t reload;  /* its data: set while it is under way */
    struct config *loaded;
    struct problems problems;
} proxyd;

/* ---- what the process may use ---- */

/* Descriptors: as many as we are allowed. Some are for libuv, listeners, pipes, files; a session
 * takes two. */
static unsigned raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 1u << 30 ? 1u << 30 : (unsigned)limit.rlim_cur;
}

/* Makes the kernel's table of descriptors as large as it will have to be, before there are threads:
 * when it grows later, the accept4 that makes it grow waits for all CPUs, some ten milliseconds. */
static void grow_descriptor_table(unsigned limit)
{
    int last = (int)(limit < DESCRIPTORS_AT_ONCE ? limit : DESCRIPTORS_AT_ONCE) - 1;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, last);
    if (fd >= 0)
        close(fd);
}

static unsigned descriptors_besides(unsigned limit)
{
    unsigned most = 128 + 2 * SPLICE_PIPES_MAX;
    return limit / 4 < most ? limit / 4 : most;
}

static void set_session_limit(unsigned limit)
{
    unsigned besides = descriptors_besides(limit);
    listener_set_limit((limit - besides) / 2);
}

/* Places at all nodes that the configuration names, two descriptors each. */
static void warn_of_low_limit(const struct config *config, unsigned limit)
{
    uint64_t places = 0;
    for (size_t i = 0; i < config->service_count; i++)
        places += (uint64_t)config->services[i].backend.max_connections *
                  (config->node_count ? config->node_count : 1);
    if (2 * places + descriptors_besides(limit) > limit)
        log_message(LOG_LEVEL_WARNING, "start",
                    "the limit of %u open files is too low for the configured %llu connections",
                    limit, (unsigned long long)places);
}

/* Credentials pass through this memory: it is not dumped, and no other process of the user reads
 * it. */
static void protect_memory(void)
{
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int drop_privileges(const struct config *config)
{
    const char *name = config->global.user;
    if (geteuid() != 0 || strcmp(name, "root") == 0)
        return EX_OK;
    const struct passwd *user = getpwnam(name);
    if (!user && config->global.user_is_default) {
        log_message(LOG_LEVEL_WARNING, "start",
                    "there is no user '%s': staying root (create it, or set global.user)", name);
        return EX_OK;
    }
    if (!user) {
        log_message(LOG_LEVEL_ERROR, "start", "global.user: there is no user '%s'", name);
        return EX_CONFIG;
    }
    if (log_give_to(user->pw_uid, user->pw_gid) < 0)
        log_message(LOG_LEVEL_WARNING, "start", "cannot give %s to %s: it cannot be reopened",
                    config->log.target, name);
    if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
        setuid(user->pw_uid) < 0) {
        log_message(LOG_LEVEL_ERROR, "start", "cannot become %s: %s", name, strerror(errno));
        return EX_OSERR;
    }
    return EX_OK;
}

/* ---- configurations ---- */

/* A target that stays the same is left open: who we have become might not be allowed to open it. */
static bool open_log(const struct config *config, struct problems *problems)
{
    const struct config *old = proxyd.config;
    bool same = old && strcmp(old->log.target, config->log.target) == 0 &&
                old->log.format == config->log.format;
    int error = same ? 0 : log_open(config->log.target, config->log.format);
    if (error)
        problem_error(problems, (struct place){0}, "cannot open the log %s: %s", config->log.target,
                      strerror(error));
    else
        log_set_levels(config->log.level, config->log.events, config->log.event_count);
    return error == 0;
}

/* The socket for proxyctl that CONFIG wants: the one in use, where it is the same, or of INHERITED
 * (or NULL). */
static struct control_socket *open_control(const struct config *config,
                                           const struct listen_set *inherited,
                                           struct problems *problems)
{
    struct control_socket *old = control_socket();
    if (control_socket_is_for(old, config))
        return old;
    if (!control_socket_is_at(old, config)) {
        struct addr addr = {.un.sun_family = AF_UNIX, .len = sizeof addr.un};
        strncpy(addr.un.sun_path, config->global.control_socket, sizeof addr.un.sun_path - 1);
        return control_socket_open(config, listen_set_take(inherited, &addr), problems);
    }
    int fd = fcntl(control_socket_fd(old), F_DUPFD_CLOEXEC, 0);
    struct control_socket *socket = control_socket_open(config, fd, problems);
    if (socket)
        control_socket_hand_over(old);
    return socket;
}

/* CONFIG, SET and CONTROL take effect, for new sessions. */
static void adopt(struct config *config, struct listen_set *set, struct control_socket *control)
{
    if (proxyd.config)
        config_unref(proxyd.config);
    proxyd.retiring = proxyd.set;
    proxyd.config = config;
    proxyd.set = set;
    limit_configure(config);
    stats_configure(config);
    node_configure(config);
    crew_serve(&proxyd.loop, config, set);
    admin_serve(&proxyd.loop, config, set);
    map_watch_stop(proxyd.watch);
    proxyd.watch = map_watch_start(&proxyd.loop, config);
    control_serve(config, control);
}

/* In the thread pool. */
static void load(uv_work_t *work)
{
    (void)work;
    proxyd.loaded = config_load(proxyd.path, &proxyd.problems);
}

static bool start_reload(void);

static void reload_ended(bool good)
{
    proxyd.reload.data = NULL;
    if (!proxyd.ending)
        notify("READY=1");
    control_reload_ends(good, &proxyd.problems);
    problems_free(&proxyd.problems);
    if (proxyd.reload_again)
        start_reload();
}

/* A reload has ended when no worker accepts on the old sockets any more. */
static void settle(uv_timer_t *timer)
{
    if (!listen_set_is_idle(proxyd.retiring))
        return;
    uv_timer_stop(timer);
    listen_set_unref(proxyd.retiring);
    proxyd.retiring = NULL;
    log_message(LOG_LEVEL_INFO, "config", "reloaded");
    reload_ended(true);
}

/* Opens what CONFIG names beside what is open already, and takes it all into use; false where that
 * cannot be. */
static bool take(struct config *config, struct problems *problems)
{
    struct listen_set *set = listen_set_open(config, proxyd.set, problems);
    if (!set)
        return false;
    struct control_socket *control = open_control(config, NULL, problems);
    if (problems->errors == 0 && open_log(config, problems)) {
        config_share_maps(config, proxyd.config);
        adopt(config, set, control);
        return true;
    }
    if (control != control_socket())
        control_socket_close(control);
    listen_set_unref(set);
    return false;
}

static void loaded(uv_work_t *work, int status)
{
    struct config *config = proxyd.loaded;
    (void)work;
    (void)status;
    bool good = config && !proxyd.ending && take(config, &proxyd.problems);
    log_problems(&proxyd.problems);
    if (good) {
        uv_timer_start(&proxyd.settle, settle, 0, 5);
        return;
    }
    if (config)
        config_unref(config);
    log_message(LOG_LEVEL_ERROR, "config", "not reloaded: the old configuration stays in use");
    reload_ended(false);
}

/* Soon; false: the process ends. */
static bool start_reload(void)
{
    proxyd.reload_again = proxyd.reload.data != NULL;
    if (proxyd.reload_again || proxyd.ending)
        return !proxyd.ending;
    notify("RELOADING=1");
    control_reload_begins();
    proxyd.reload.data = &proxyd;
    uv_queue_work(&proxyd.loop, &proxyd.reload, load, loaded);
    return true;
}

/* ---- the end ---- */

/* What waits for a machine that does not answer, in a thread of the pool, cannot be told to end. */
static void patience_over(uv_timer_t *timer)
{
    (void)timer;
    log_message(LOG_LEVEL_WARNING, "stop", "something is still under way: ending all the same");
    _exit(EX_OK);
}

/* After an upgrade there is time: so that not all clients log in again in the same moment. */
static void grace_over(uv_timer_t *timer)
{
    bool handed_over = proxyd.ending == ENDING_HANDED_OVER;
    uint64_t over = handed_over ? proxyd.config->global.shutdown_grace / 2 : 0;
    crew_stop_sessions(over);
    uv_timer_start(timer, patience_over, over + LAST_PATIENCE, 0);
}

static void ended(void)
{
    uv_stop(&proxyd.loop);
}

static void leave(enum ending how)
{
    proxyd.ending = how;
    log_message(LOG_LEVEL_INFO, "stop", "accepting no more; sessions have %llu s to end",
                (unsigned long long)proxyd.config->global.shutdown_grace / 1000);
    listen_set_unref(proxyd.set);
    proxyd.set = NULL;
    uv_timer_start(&proxyd.grace, grace_over, proxyd.config->global.shutdown_grace, 0);
    admin_drain();
    crew_retire(ended);
}

static void handed_over(pid_t pid)
{
    char state[32];
    if (!pid)
        return;
    snprintf(state, sizeof state, "MAINPID=%d", (int)pid);
    notify(state);
    notify_stop();
    listen_set_own_files(proxyd.set, false);
    control_socket_hand_over(control_socket());
    control_serve(proxyd.config, control_socket_open_aside(proxyd.config));
    admin_hand_over();
    leave(ENDING_HANDED_OVER);
}

/* ---- signals ---- */

static void stop(uv_signal_t *handle, int number)
{
    (void)handle;
    if (proxyd.ending == ENDING_STOPPED) {
        log_message(LOG_LEVEL_WARNING, "stop", "signal %d again: ending at once", number);
        _exit(EX_OK);
    }
    if (proxyd.ending == ENDING_HANDED_OVER) { /* the time that our sessions have runs already */
        proxyd.ending = ENDING_STOPPED;
        return;
    }
    upgrade_cancel();
    notify("STOPPING=1");
    leave(ENDING_STOPPED);
}

static void upgrade(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    int control = control_socket() ? control_socket_fd(control_socket()) : -1;
    if (!proxyd.ending)
        upgrade_start(&proxyd.loop, proxyd.set, &control, 1, handed_over);
}

static void reload(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    start_reload();
}

static void reopen(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    log_reopen();
}

/* Until there is something to reload, and those that mean nothing here. */
static void ignore_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], SIG_IGN);
}

static void catch_signals(void)
{
    static const struct {
        int number;
        uv_signal_cb run;
    } table[] = {
        {SIGTERM, stop}, {SIGINT, stop}, {SIGHUP, reload}, {SIGUSR1, reopen}, {SIGUSR2, upgrade}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uv_signal_init(&proxyd.loop, &proxyd.signals[i]);
        uv_signal_start(&proxyd.signals[i], table[i].run, table[i].number);
    }
}

/* ---- the program ---- */

/* Those of signals stay: without them one that comes late would kill what has ended well. */
static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (uv_handle_get_type(handle) == UV_SIGNAL)
        uv_unref(handle);
    else if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void clean_up(void)
{
    control_stop();
    admin_end();
    map_watch_stop(proxyd.watch);
    while (map_watch_active())
        uv_run(&proxyd.loop, UV_RUN_ONCE);
    uv_walk(&proxyd.loop, close_handle, NULL);
    uv_run(&proxyd.loop, UV_RUN_DEFAULT);
    config_unref(proxyd.config);
    listen_set_unref(proxyd.retiring);
    log_message(LOG_LEVEL_INFO, "stop", "ended");
}

/* What is open before we become somebody else. */
struct beginning {
    struct listen_set *inherited; /* or NULL */
    struct config *config;
    struct listen_set *set;
    struct control_socket *control;
};

static int open_all(struct beginning *b, struct problems *problems)
{
    b->config = config_load(proxyd.path, problems);
    if (!b->config)
        return EX_CONFIG;
    b->set = listen_set_open(b->config, b->inherited, problems);
    if (b->set)
        b->control = open_control(b->config, b->inherited, problems);
    if (problems->errors)
        return EX_UNAVAILABLE;
    return open_log(b->config, problems) ? EX_OK : EX_CONFIG;
}

/* Reads the configuration and opens all that it names; an exit status. */
static int begin(struct beginning *b)
{
    struct problems problems = {0};
    int status = open_all(b, &problems);
    problems_print(&problems, stderr);
    inherit_tell(&problems);
    problems_free(&problems);
    if (status == EX_OK)
        status = drop_privileges(b->config);
    if (status == EX_OK)
        return status;
    if (b->config)
        config_unref(b->config);
    listen_set_unref(b->set);
    if (b->inherited)
        control_socket_hand_over(b->control); /* it stays with the process before */
    listen_set_unref(b->inherited);
    control_socket_close(b->control);
    return status;
}

/* Without a loop or a worker, which need descriptors and threads, nobody would be served. */
static int fail_to_start(unsigned limit)
{
    log_message(LOG_LEVEL_ERROR, "start",
                "cannot start: too few descriptors or threads (open files: at most %u)", limit);
    return EX_OSERR;
}

static int serve(void)
{
    struct beginning b = {.inherited = inherit_take()};
    unsigned limit = raise_descriptor_limit();
    if (limit < DESCRIPTORS_LEAST)
        return fail_to_start(limit);
    grow_descriptor_table(limit);
    protect_memory();
    ignore_signals();
    setenv("UV_THREADPOOL_SIZE", POOL_SIZE, 0);
    int status = begin(&b);
    if (status != EX_OK)
        return status;
    protect_memory(); /* becoming somebody else has undone it */
    sandbox_enter(b.config, upgrade_program());
    set_session_limit(limit);
    warn_of_low_limit(b.config, limit);
    if (uv_loop_init(&proxyd.loop) < 0)
        return fail_to_start(limit);
    uv_timer_init(&proxyd.loop, &proxyd.grace);
    uv_timer_init(&proxyd.loop, &proxyd.settle);
    catch_signals();
    memory_watch(&proxyd.loop, client_total);
    clock_watch(&proxyd.loop);
    control_start(&proxyd.loop, start_reload);
    adopt(b.config, b.set, b.control);
    if (crew_running() == 0)
        return fail_to_start(limit);
    listen_set_log_unused(b.inherited);
    listen_set_unref(b.inherited);
    log_message(LOG_LEVEL_INFO, "start", "proxyd " VERSION " serves %s", proxyd.path);
    listen_set_own_files(b.set, true);
    inherit_ready();
    notify("READY=1");
    notify_watchdog(&proxyd.loop, crew_answers);
    uv_run(&proxyd.loop, UV_RUN_DEFAULT);
    clean_up();
    return EX_OK;
}

static int check(void)
{
    struct problems problems = {0};
    struct config *config = config_load(proxyd.path, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    if (!config)
        return EX_CONFIG;
    config_unref(config);
    return EX_OK;
}

static int print(void)
{
    struct problems problems = {0};
    bool good = config_print(proxyd.path, &problems, stdout);
    problems_print(&problems, stderr);
    problems_free(&problems);
    return good ? EX_OK : EX_CONFIG;
}

static int usage(void)
{
    fputs("usage: proxyd [-c PATH] [-t | -T] [--version]\n"
          "  -c PATH    a YAML file, or a folder whose *.yaml are read in name order\n"
          "             (default " DEFAULT_PATH ")\n"
          "  -t         check the configuration and exit\n"
          "  -T         print the effective configuration and exit\n",
          stderr);
    return EX_USAGE;
}

/* Else a socket would get the number of standard error, and what is logged. */
static void open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    int (*run)(void) = serve;
    open_standard_descriptors();
    memory_prepare();
    upgrade_remember(argv);
    proxyd.path = DEFAULT_PATH;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0)
            return puts("proxyd " VERSION) < 0 ? EX_IOERR : EX_OK;
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
            proxyd.path = argv[++i];
        else if (strcmp(argv[i], "-t") == 0 && run == serve)
            run = check;
        else if (strcmp(argv[i], "-T") == 0 && run == serve)
            run = print;
        else
            return usage();
    }
    return run();
}
