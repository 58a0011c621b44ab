/* A disk that can do less than others: preloaded, it fails some calls on files below the folder POOR_DISK,
   those that POOR_DISK_LACKS names: `mmap` (shared), `flock`, `fcntl` (locks); `write` once POOR_DISK_GONE is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int lacks(const char *what, int fd) {
  const char *list = getenv("POOR_DISK_LACKS"), *folder = getenv("POOR_DISK");
  char link[64], path[4096];
  if (!list || !folder || fd < 0 || !strstr(list, what)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
}

#define REAL(name, type) \
  static __typeof__(type) *real; \
  if (!real) real = (__typeof__(type) *)dlsym(RTLD_NEXT, name)

void *mmap64(void *at, size_t length, int access, int flags, int fd, off64_t offset) {
  REAL("mmap64", void *(void *, size_t, int, int, int, off64_t));
  if ((flags & MAP_SHARED) && lacks("mmap", fd)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  return real(at, length, access, flags, fd, offset);
}

void *mmap(void *at, size_t length, int access, int flags, int fd, off_t offset) {
  return mmap64(at, length, access, flags, fd, offset);
}

int flock(int fd, int operation) {
  REAL("flock", int (int, int));
  if (lacks("flock", fd)) {
    errno = ENOLCK;
    return -1;
  }
  return real(fd, operation);
}

static int is_gone(int fd) {
  const char *flag = getenv("POOR_DISK_GONE");
  return flag && access(flag, F_OK) == 0 && lacks("write", fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL("pwrite64", ssize_t (int, const void *, size_t, off64_t));
  if (is_gone(fd)) {
    errno = EIO;
    return -1;
  }
  return real(fd, bytes, length, offset);
}

int fcntl(int fd, int command, ...) {
  REAL("fcntl", int (int, int, ...));
  va_list more;
  va_start(more, command);
  void *argument = va_arg(more, void *);
  va_end(more);
  if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && lacks("fcntl", fd)) {
    errno = ENOLCK;
    return -1;
  }
  return real(fd, command, argument);
}
