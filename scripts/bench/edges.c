/* edges FILE COUNT RATE: pulls a simulated GPIO line (its `pull` file) up and down, COUNT edges at RATE a second. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int fd = open(argv[1], O_WRONLY);
  if (fd < 0) return 1;
  long count = atol(argv[2]), period = 1000000000L / atol(argv[3]);
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (long n = 0; n < count; n++) {
    const char *level = n % 2 ? "pull-down" : "pull-up";
    if (pwrite(fd, level, n % 2 ? 9 : 7, 0) < 0) return 1;
    due.tv_nsec += period;
    while (due.tv_nsec >= 1000000000L) { due.tv_nsec -= 1000000000L; due.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
  }
  return 0;
}
