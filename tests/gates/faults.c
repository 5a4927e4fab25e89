// Makes a disk fail below one folder, for `kill` and `faults`. Loaded by LD_PRELOAD, before `shim.c` where both are: what
// fails here never reaches it, except that it is told which sync failed (`shim_dropped`).
//
//   FAULT_ROOT    the folder (real path)           FAULT_COUNTS  a file of 64 zeros: how often each call was made, see COUNTS
//   FAULT_OP      write, sync, rename, truncate, open (for writing), unlink
//   FAULT_AT      the n-th of these calls fails    FAULT_FOR     how many of them fail in a row, 0 = all from then on
//   FAULT_ERRNO   with this error                  FAULT_FULL    bytes that still fit on the disk; 64 MiB more once `ballast` is removed
//   FAULT_SLOW_MS those calls succeed, but take so long           FAULT_LIES    those syncs say yes and keep nothing
//   FAULT_HOLD    files whose names end so (`,` between) are kept back: whoever opens one to write gets a copy without a name
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// COUNTS: calls of each kind, then how often a call failed, then bytes written.
enum { WRITE, SYNC, RENAME, TRUNCATE, OPEN, UNLINK, HITS, BYTES };
static const char *const names[] = {"write", "sync", "rename", "truncate", "open", "unlink"};

void shim_dropped(int fd) __attribute__((weak));

static char root[PATH_MAX], hold[PATH_MAX];
static size_t root_len;
static int op = -1, error_number = EIO;
static uint64_t at, n_faults = 1, slow_ms, full = UINT64_MAX, *counts;
static int lies;

static uint64_t number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("FAULT_ROOT"), *held = getenv("FAULT_HOLD"), *wanted = getenv("FAULT_OP"), *file = getenv("FAULT_COUNTS");
  if (!folder || !file || strlen(folder) >= sizeof root || (held && strlen(held) >= sizeof hold)) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
  void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) {
    dprintf(2, "faults: %s cannot be counted in\n", file);
    abort();
  }
  syscall(SYS_close, fd);
  counts = shared;
  for (int each = 0; wanted && each <= UNLINK; each++)
    if (strcmp(names[each], wanted) == 0) op = each;
  at = number("FAULT_AT", 1), n_faults = number("FAULT_FOR", 1), error_number = (int)number("FAULT_ERRNO", EIO);
  full = number("FAULT_FULL", UINT64_MAX), slow_ms = number("FAULT_SLOW_MS", 0), lies = (int)number("FAULT_LIES", 0);
  if (held) strcpy(hold, held);
  strcpy(root, folder);
  root_len = strlen(root);
}

static int is_below(const char *path) {
  return root_len && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

static int is_ours(int fd) {
  char link[64], path[PATH_MAX];
  if (!root_len || fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (len < 0) return 0;
  path[len] = 0;
  return is_below(path);
}

static int is_named_below(int folder, const char *path) {
  char base[PATH_MAX], whole[2 * PATH_MAX], link[64];
  if (!root_len) return 0;
  if (path[0] == '/') return is_below(path);
  if (folder == AT_FDCWD) {
    if (!getcwd(base, sizeof base)) return 0;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t len = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    if (len < 0) return 0;
    base[len] = 0;
  }
  snprintf(whole, sizeof whole, "%s/%s", base, path);
  return is_below(whole);
}

// Counts a call; whether it fails (1: with errno set) or is only slow or a lie (0).
static int fails(int kind) {
  uint64_t now = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_SEQ_CST);
  if (kind != op || now < at || (n_faults && now >= at + n_faults)) return 0;
  __atomic_add_fetch(&counts[HITS], 1, __ATOMIC_SEQ_CST);
  if (slow_ms) {
    struct timespec rest = {(time_t)(slow_ms / 1000), (long)(slow_ms % 1000) * 1000000};
    nanosleep(&rest, NULL);
    return 0;
  }
  errno = error_number;
  return 1;
}

#define NEXT(name) \
  static __typeof__(&name) next; \
  if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);

// ── writing ──

// How much of a write still fits; what does not is an error of its own.
static size_t fits(size_t len) {
  uint64_t before = __atomic_fetch_add(&counts[BYTES], len, __ATOMIC_SEQ_CST);
  if (full == UINT64_MAX || before + len <= full) return len;
  __atomic_add_fetch(&counts[HITS], 1, __ATOMIC_SEQ_CST);
  if (before >= full) errno = ENOSPC;
  return before < full ? (size_t)(full - before) : 0;
}

ssize_t write(int fd, const void *data, size_t len) {
  NEXT(write)
  if (!is_ours(fd)) return next(fd, data, len);
  if (fails(WRITE)) return -1;
  size_t room = fits(len);
  return room || !len ? next(fd, data, room) : -1;
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t from) {
  NEXT(pwrite64)
  if (!is_ours(fd)) return next(fd, data, len, from);
  if (fails(WRITE)) return -1;
  size_t room = fits(len);
  return room || !len ? next(fd, data, room, from) : -1;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t from) { return pwrite64(fd, data, len, from); }
ssize_t writev(int fd, const struct iovec *parts, int n) {
  NEXT(writev)
  if (!is_ours(fd)) return next(fd, parts, n);
  for (int part = 0; part < n; part++)
    if (parts[part].iov_len) return write(fd, parts[part].iov_base, parts[part].iov_len);
  return 0;
}

static int truncated(int fd, off64_t len) {
  NEXT(ftruncate64)
  if (is_ours(fd) && fails(TRUNCATE)) return -1;
  return next(fd, len);
}
int ftruncate(int fd, off_t len) { return truncated(fd, len); }
int ftruncate64(int fd, off64_t len) { return truncated(fd, len); }

// ── syncs ──

// After a failed sync the kernel takes the pages for clean: what they held is lost, whatever the next sync says.
#define SYNCED(name) \
  int name(int fd) { \
    NEXT(name) \
    if (!is_ours(fd)) return next(fd); \
    if (!fails(SYNC)) return next(fd); \
    int error = errno; \
    if (shim_dropped) shim_dropped(fd); \
    errno = error; \
    return lies ? 0 : -1; \
  }
SYNCED(fsync)
SYNCED(fdatasync)

// ── names ──

int rename(const char *from, const char *to) {
  NEXT(rename)
  return is_named_below(AT_FDCWD, to) && fails(RENAME) ? -1 : next(from, to);
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
  NEXT(renameat)
  return is_named_below(to_at, to) && fails(RENAME) ? -1 : next(from_at, from, to_at, to);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
  NEXT(renameat2)
  return is_named_below(to_at, to) && fails(RENAME) ? -1 : next(from_at, from, to_at, to, flags);
}
// What a full house lets go of is room again.
static void let_go(const char *path) {
  size_t len = strlen(path);
  if (len >= 8 && strcmp(path + len - 8, "/ballast") == 0 && full != UINT64_MAX) __atomic_add_fetch(&full, 64 << 20, __ATOMIC_SEQ_CST);
}
int unlink(const char *path) {
  NEXT(unlink)
  if (is_named_below(AT_FDCWD, path) && fails(UNLINK)) return -1;
  int done = next(path);
  if (done == 0) let_go(path);
  return done;
}
int unlinkat(int folder, const char *path, int flags) {
  NEXT(unlinkat)
  return is_named_below(folder, path) && fails(UNLINK) ? -1 : next(folder, path, flags);
}

// ── opening ──

static int is_held(const char *path) {
  char list[PATH_MAX], *rest = list, *end;
  strcpy(list, hold);
  while ((end = strsep(&rest, ",")))
    if (*end && strlen(path) >= strlen(end) && strcmp(path + strlen(path) - strlen(end), end) == 0) return 1;
  return 0;
}

// A copy without a name: what is written to it is gone with the process.
static int copied(int fd) {
  char name[] = "/tmp/fineline-held-XXXXXX", block[1 << 16];
  int copy = mkostemp(name, O_CLOEXEC);
  struct stat of;
  if (copy < 0 || fstat(fd, &of) != 0) abort();
  syscall(SYS_unlinkat, AT_FDCWD, name, 0);
  for (off_t from = 0;;) {
    off_t data = lseek(fd, from, SEEK_DATA);
    ssize_t n = data < 0 ? 0 : pread(fd, block, sizeof block, data);
    if (n <= 0) break;
    if (syscall(SYS_pwrite64, copy, block, (size_t)n, data) != n) abort();
    from = data + n;
  }
  if (syscall(SYS_ftruncate, copy, of.st_size) != 0) abort();
  syscall(SYS_close, fd);
  return copy;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
  static int (*next)(int, const char *, int, ...);
  if (!next) next = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat64");
  if (!(flags & (O_WRONLY | O_RDWR | O_CREAT)) || !is_named_below(folder, path)) return next(folder, path, flags, mode);
  if (fails(OPEN)) return -1;
  int fd = next(folder, path, flags, mode);
  return fd >= 0 && hold[0] && is_held(path) ? copied(fd) : fd;
}

#define MODE \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags | O_LARGEFILE, mode); }
