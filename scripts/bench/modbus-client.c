/* modbus-client PORT READS: libmodbus reads 10 registers so many times, one request after the other, and prints its pace. */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int reads = atoi(argv[2]), failed = 0;
  uint16_t registers[10];
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
  if (!ctx || modbus_connect(ctx) < 0) return 1;
  double began = now();
  for (int at = 0; at < reads; at++)
    if (modbus_read_registers(ctx, at % 1900, 10, registers) != 10) failed++;
  double seconds = now() - began;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("libmodbus      in flight 1   %.0f a second, %.1f ms CPU per 1000, %d failed\n", reads / seconds, 1e6 * cpu / reads, failed);
  return 0;
}
