/* SPDX-License-Identifier: ISC
 *
 * What the process gives up: see sandbox.h. The C library has no words for Landlock, so its calls
 * are made by number; the filter of system calls is libseccomp's, which knows their numbers on all
 * machines. */
#include "sandbox.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- files ---- */

#define TRUNCATE (1ull << 14) /* since version 3; in no header of Debian 12 */

#define WRITING                                                                                    \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* In a folder that we write to: files and sockets come, go and are cut. */
#define OURS                                                                                       \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | TRUNCATE)

struct rules {
    int fd;
    uint64_t handled;
};

/* A folder that is not there needs no permission. */
static void allow(const struct rules *r, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access & r->handled};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return;
    syscall(SYS_landlock_add_rule, r->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

static void allow_folder_of(const struct rules *r, const char *path, uint64_t access)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *folder = slash ? xstrndup(path, (size_t)(slash - path) + 1) : NULL;
    if (folder)
        allow(r, folder, access);
    free(folder);
}

static void allow_socket(const struct rules *r, const struct addr *addr)
{
    if (addr->sa.sa_family == AF_UNIX)
        allow_folder_of(r, addr->un.sun_path, OURS);
}

static void allow_sockets(const struct rules *r, const struct config *config)
{
    for (size_t i = 0; i < config->service_count; i++)
        for (size_t k = 0; k < config->services[i].listener_count; k++)
            allow_socket(r, &config->services[i].listeners[k].bind);
    for (size_t i = 0; i < config->admin.listener_count; i++)
        allow_socket(r, &config->admin.listeners[i].bind);
}

/* Returns 0 or an errno. Programs that an upgrade may start stand in the folder of ours, which is
 * replaced there; the dynamic loader counts as one. */
static int restrict_files(const struct config *config, const char *program)
{
    static const char *const folders[] = {"/run", "/var/log"}, *const loaders[] = {"/lib", "/lib64",
                                                                                   "/usr/lib"};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0)
        return errno;
    struct landlock_ruleset_attr attr = {.handled_access_fs = WRITING | LANDLOCK_ACCESS_FS_EXECUTE};
    if (version >= 3)
        attr.handled_access_fs |= TRUNCATE;
    struct rules r = {.handled = attr.handled_access_fs};
    r.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (r.fd < 0)
        return errno;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        allow(&r, folders[i], OURS);
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
        allow(&r, loaders[i], LANDLOCK_ACCESS_FS_EXECUTE);
    allow(&r, "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE);
    allow_folder_of(&r, program, LANDLOCK_ACCESS_FS_EXECUTE);
    allow_folder_of(&r, config->log.target, OURS);
    allow_folder_of(&r, config->global.control_socket, OURS);
    allow_sockets(&r, config);
    int error = syscall(SYS_landlock_restrict_self, r.fd, 0) < 0 ? errno : 0;
    close(r.fd);
    return error;
}

/* ---- system calls ---- */

static const char *const denied[] = {
    /* other processes */
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "perf_event_open",
    /* the kernel and what runs in it */
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key",
    "request_key", "keyctl", "iopl", "ioperm", "modify_ldt", "lookup_dcookie", "syslog",
    /* file systems and name spaces */
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "setns", "unshare", "name_to_handle_at",
    "open_by_handle_at", "mknod", "mknodat", "quotactl", "swapon", "swapoff", "acct",
    /* the machine */
    "reboot", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_settime64",
    "clock_adjtime", "clock_adjtime64", "adjtimex", "stime", "vhangup", "nfsservctl",
    /* programs that are in no file */
    "execveat"};

/* All address families but ours, of which AF_NETLINK is the last: by that getaddrinfo learns of
 * interfaces. */
static int deny_families(scmp_filter_ctx filter)
{
    uint32_t action = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int error = seccomp_rule_add(filter, action, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_GT, (scmp_datum_t)AF_NETLINK));
    for (scmp_datum_t family = 0; family < AF_NETLINK && !error; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
            error =
                seccomp_rule_add(filter, action, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family));
    return error;
}

/* Returns 0 or an errno. A call that this machine does not have is not missed. */
static int restrict_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int error = filter ? 0 : -ENOMEM;
    if (filter)
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    for (size_t i = 0; !error && i < sizeof denied / sizeof *denied; i++) {
        int call = seccomp_syscall_resolve_name(denied[i]);
        if (call != __NR_SCMP_ERROR)
            error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    }
    if (!error)
        error = deny_families(filter);
    if (!error)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return -error;
}

/* ---- all of it ---- */

static void tell(const char *what, int error)
{
    if (error)
        log_message(LOG_LEVEL_INFO, "start", "runs without %s: %s", what, strerror(error));
}

void sandbox_enter(const struct config *config, const char *program)
{
#ifdef __SANITIZE_ADDRESS__
    (void)config, (void)program, (void)restrict_files, (void)restrict_calls, (void)tell;
#else
    if (!config->global.sandbox)
        return;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    tell("Landlock", restrict_files(config, program));
    tell("seccomp", restrict_calls());
#endif
}
