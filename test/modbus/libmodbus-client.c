/* libmodbus-client tcp PORT | rtu DEVICE: asks a slave (unit 3) in functions 1 to 6, 15, 16, 22 and 23 and prints ok. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOULD(what) \
  if (!(what)) { printf("line %d: %s (%s)\n", __LINE__, #what, modbus_strerror(errno)); return 1; }

int main(int argc, char **argv) {
  uint8_t bits[40];
  uint16_t words[125], found[125];
  if (argc < 3) return 2;
  int tcp = strcmp(argv[1], "tcp") == 0;
  modbus_t *ctx = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 19200, 'N', 8, 1);
  SHOULD(ctx && modbus_set_slave(ctx, 3) == 0 && modbus_connect(ctx) == 0);
  modbus_set_response_timeout(ctx, 2, 0);
  /* 2 and 4: what was put there. */
  SHOULD(modbus_read_input_bits(ctx, 0, 3, bits) == 3 && bits[0] == 1 && bits[1] == 0 && bits[2] == 1);
  SHOULD(modbus_read_input_registers(ctx, 0, 2, found) == 2 && found[0] == 111 && found[1] == 222);
  /* 5 and 1. */
  SHOULD(modbus_write_bit(ctx, 11, 1) == 1 && modbus_read_bits(ctx, 10, 3, bits) == 3);
  SHOULD(bits[0] == 0 && bits[1] == 1 && bits[2] == 0);
  /* 15, over byte borders. */
  for (int at = 0; at < 37; at++) bits[at] = at % 3 == 0;
  SHOULD(modbus_write_bits(ctx, 100, 37, bits) == 37);
  uint8_t back[40];
  SHOULD(modbus_read_bits(ctx, 100, 37, back) == 37 && memcmp(bits, back, 37) == 0);
  /* 6 and 3. */
  SHOULD(modbus_write_register(ctx, 5, 0xabcd) == 1 && modbus_read_registers(ctx, 5, 1, found) == 1 && found[0] == 0xabcd);
  /* 16, as long as it can be, and 3 likewise. */
  for (int at = 0; at < 123; at++) words[at] = 7 * at;
  SHOULD(modbus_write_registers(ctx, 200, 123, words) == 123);
  SHOULD(modbus_read_registers(ctx, 200, 123, found) == 123 && memcmp(words, found, 246) == 0);
  SHOULD(modbus_read_registers(ctx, 200, 125, found) == 125);
  /* 22: the example of the standard. */
  SHOULD(modbus_write_register(ctx, 4, 0x12) == 1 && modbus_mask_write_register(ctx, 4, 0xf2, 0x25) == 1);
  SHOULD(modbus_read_registers(ctx, 4, 1, found) == 1 && found[0] == 0x17);
  /* 23: writes before it reads. */
  uint16_t pair[] = {1000, 2000};
  SHOULD(modbus_write_and_read_registers(ctx, 50, 2, pair, 49, 4, found) == 4);
  SHOULD(found[0] == 0 && found[1] == 1000 && found[2] == 2000 && found[3] == 0);
  /* What is not there is exception 2, and the next request is answered again. */
  SHOULD(modbus_read_registers(ctx, 1999, 2, found) == -1 && errno == EMBXILADD);
  SHOULD(modbus_read_registers(ctx, 5, 1, found) == 1 && found[0] == 0xabcd);
  printf("ok\n");
  return 0;
}
