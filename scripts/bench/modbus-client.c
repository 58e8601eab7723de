/* modbus-client PORT READS IN_FLIGHT: libmodbus reads 10 registers so many times and prints its pace. More than one request
   at once is not its way of working: they are sent as raw requests, and their confirmations taken in order. */
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
  if (argc < 4) return 2;
  int reads = atoi(argv[2]), in_flight = atoi(argv[3]), failed = 0, sent = 0;
  uint8_t reply[MODBUS_TCP_MAX_ADU_LENGTH];
  uint16_t registers[10];
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
  if (!ctx || modbus_connect(ctx) < 0) return 1;
  double began = now();
  if (in_flight == 1)
    for (int at = 0; at < reads; at++)
      if (modbus_read_registers(ctx, at % 1900, 10, registers) != 10) failed++;
  for (int taken = 0; in_flight > 1 && taken < reads; taken++) {
    while (sent < reads && sent < taken + in_flight) {
      int at = sent++ % 1900;
      uint8_t request[] = {0xff, 3, at >> 8, at & 0xff, 0, 10};
      if (modbus_send_raw_request(ctx, request, sizeof request) < 0) return 1;
    }
    if (modbus_receive_confirmation(ctx, reply) != 9 + 20) failed++;
  }
  double seconds = now() - began;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("libmodbus      in flight %-3d %.0f a second, %.1f ms CPU per 1000, %d failed\n", in_flight, reads / seconds, 1e6 * cpu / reads, failed);
  return 0;
}
