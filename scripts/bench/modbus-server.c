/* modbus-server: libmodbus serves 2000 of everything to one client after the other on a free port, which it prints. */
#include <arpa/inet.h>
#include <modbus.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
  modbus_mapping_t *map = modbus_mapping_new(2000, 2000, 2000, 2000);
  uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
  struct sockaddr_in name;
  socklen_t size = sizeof name;
  int listener = modbus_tcp_listen(ctx, 1);
  if (!map || listener < 0 || getsockname(listener, (struct sockaddr *)&name, &size) < 0) return 1;
  printf("%d\n", ntohs(name.sin_port));
  fflush(stdout);
  for (;;) {
    if (modbus_tcp_accept(ctx, &listener) < 0) return 1;
    for (;;) {
      int length = modbus_receive(ctx, query);
      if (length < 0) break;
      if (length > 0) modbus_reply(ctx, query, length, map);
    }
    modbus_close(ctx);
  }
}
