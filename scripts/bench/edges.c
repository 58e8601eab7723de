/* edges COUNT RATE FILE...: pulls simulated GPIO lines (their `pull` files) up and down in turn, COUNT edges in all, RATE
   a second. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  long count = atol(argv[1]), period = 1000000000L / atol(argv[2]);
  int lines = argc - 3, fds[64];
  if (lines > 64) return 2;
  for (int n = 0; n < lines; n++)
    if ((fds[n] = open(argv[n + 3], O_WRONLY)) < 0) return 1;
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (long n = 0; n < count; n++) {
    int down = n / lines % 2;
    if (pwrite(fds[n % lines], down ? "pull-down" : "pull-up", down ? 9 : 7, 0) < 0) return 1;
    due.tv_nsec += period;
    while (due.tv_nsec >= 1000000000L) { due.tv_nsec -= 1000000000L; due.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
  }
  return 0;
}
