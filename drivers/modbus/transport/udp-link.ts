import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { DcsError } from '../../../src/errors/errors.ts';
import type { Link, LinkEvents } from './link.ts';
import type { TcpTarget } from './tcp-link.ts';

/** A UDP socket tied to one device. Nobody listening there shows as silence: datagrams have no connection to lose. */
export function openUdp(target: TcpTarget, events: LinkEvents): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4');
    let open = false;
    let closed = false;
    const close = () =>
      new Promise<void>((done) => {
        if (closed) return done();
        closed = true;
        socket.close(() => done());
      });
    socket.on('message', (bytes) => {
      if (!closed) events.data(bytes);
    });
    socket.on('error', (error) => {
      // 'Connection refused' answers an earlier datagram and ends nothing: the request runs into its deadline.
      if (open) return;
      void close();
      reject(new DcsError('PORT_DOWN', `${target.host}:${target.port}: ${error.message}`, { cause: error }));
    });
    socket.connect(target.port, target.host, () => {
      open = true;
      resolve({
        send: (bytes) => {
          // A datagram that cannot be sent is a datagram lost.
          if (!closed) socket.send(bytes, () => undefined);
        },
        close,
      });
    });
  });
}
