import { createServer, type Server, type Socket } from 'node:net';

/** What the slave does with one request. Everything not named is answered properly. */
export type Fault =
  | { readonly do: 'answer' }
  | { readonly do: 'silent' }
  | { readonly do: 'late'; readonly ms: number }
  | { readonly do: 'wrong-id'; readonly by: number }
  | { readonly do: 'wrong-unit' }
  /** Answers with this transaction id, or from this unit. */
  | { readonly do: 'id'; readonly value: number }
  | { readonly do: 'unit'; readonly value: number }
  /** The reply is the whole request. */
  | { readonly do: 'whole-echo' }
  /** Bytes after the data, counted in the header. */
  | { readonly do: 'padded' }
  | { readonly do: 'length'; readonly value: number }
  | { readonly do: 'protocol' }
  | { readonly do: 'exception'; readonly code: number }
  | { readonly do: 'wrong-function' }
  | { readonly do: 'wrong-count' }
  | { readonly do: 'wrong-echo' }
  | { readonly do: 'twice' }
  | { readonly do: 'bytewise' }
  | { readonly do: 'partial' }
  /** The reply, and the beginning of another frame. */
  | { readonly do: 'and-more' }
  | { readonly do: 'rst' }
  | { readonly do: 'fin' };

export interface SeenRequest {
  readonly at: number;
  readonly id: number;
  readonly unit: number;
  readonly fn: number;
  readonly pdu: Buffer;
}

/** A Modbus TCP slave whose every answer is scripted. Register n of unit u holds `word(u, n)`. */
export class FaultySlave {
  /** Remember every request. */
  keep = true;
  readonly seen: SeenRequest[] = [];
  readonly written = new Map<number, number>();
  /** Connections made so far. */
  connections = 0;
  /** The slave closes a connection so long (ms) after its first reply and takes no other request, or when it has been idle. */
  closes: { readonly after: 'each' | 'idle'; readonly ms: number } | undefined;
  /** The slave closes a connection so long (ms) after it was made, before anything is asked. */
  turnsAwayMs: number | undefined;
  /** Called with the age (ms) of the connection: what the slave does with a request before it looks at it. */
  admits: (age: number) => 'answer' | 'ignore' | 'close' = () => 'answer';
  script: (request: SeenRequest) => Fault = () => ({ do: 'answer' });
  word: (unit: number, address: number) => number = (unit, address) => (unit * 1000 + address) & 0xffff;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  listen(port = 0): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : 0);
      });
    });
  }

  /** Number of open connections. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Ends every connection. */
  hangUp(how: 'fin' | 'rst'): void {
    for (const socket of this.#sockets) {
      if (how === 'fin') socket.end();
      else socket.resetAndDestroy();
    }
  }

  /** Refuses new connections from now on. */
  stopListening(): void {
    this.#server.close();
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    this.connections++;
    const born = performance.now();
    let timer: NodeJS.Timeout | undefined;
    let answered = false;
    const answerSent = () => {
      answered = true;
      clearTimeout(timer);
      if (this.closes?.ms === 0) socket.end();
      else if (this.closes) timer = setTimeout(() => socket.destroy(), this.closes.ms);
    };
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (this.turnsAwayMs !== undefined) setTimeout(() => socket.end(), this.turnsAwayMs);
    let rest = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 6 && rest.length >= 6 + rest.readUInt16BE(4)) {
        const length = 6 + rest.readUInt16BE(4);
        const pdu = Buffer.from(rest.subarray(7, length));
        const seen = {
          at: performance.now(),
          id: rest.readUInt16BE(0),
          unit: rest.readUInt8(6),
          fn: pdu.readUInt8(0),
          pdu,
        };
        rest = rest.subarray(length);
        const admitted = this.admits(seen.at - born);
        if (admitted === 'close') socket.end();
        if (admitted !== 'answer' || (answered && this.closes?.after === 'each')) continue;
        if (this.keep) this.seen.push(seen);
        this.#answer(socket, seen, this.script(seen));
        answerSent();
      }
    });
  }

  #answer(socket: Socket, request: SeenRequest, fault: Fault): void {
    if (fault.do === 'silent') return;
    const refused = fault.do === 'exception';
    const pdu = refused ? Buffer.from([request.fn | 0x80, fault.code]) : this.#reply(request);
    const frame = framed(request.id, request.unit, pdu);
    const send = (bytes: Buffer) => {
      if (!socket.destroyed) socket.write(bytes);
    };
    switch (fault.do) {
      case 'exception':
      case 'answer':
        send(frame);
        return;
      case 'late':
        setTimeout(() => send(frame), fault.ms);
        return;
      case 'wrong-id':
        send(framed((request.id + fault.by) & 0xffff, request.unit, pdu));
        return;
      case 'wrong-unit':
        send(framed(request.id, request.unit ^ 1, pdu));
        return;
      case 'id':
        send(framed(fault.value, request.unit, pdu));
        return;
      case 'unit':
        send(framed(request.id, fault.value, pdu));
        return;
      case 'whole-echo':
        send(framed(request.id, request.unit, request.fn > 4 ? request.pdu : pdu));
        return;
      case 'padded':
        send(framed(request.id, request.unit, Buffer.concat([pdu, Buffer.alloc(2)])));
        return;
      case 'length':
        frame.writeUInt16BE(fault.value, 4);
        send(frame);
        return;
      case 'protocol':
        frame.writeUInt16BE(7, 2);
        send(frame);
        return;
      case 'wrong-function':
        pdu[0] = request.fn === 3 ? 4 : 3;
        send(framed(request.id, request.unit, pdu));
        return;
      case 'wrong-count':
        send(framed(request.id, request.unit, Buffer.concat([pdu, Buffer.from([1, 2])])));
        return;
      case 'wrong-echo':
        pdu[pdu.length - 1] = (pdu.at(-1) ?? 0) ^ 1;
        send(framed(request.id, request.unit, pdu));
        return;
      case 'twice':
        send(frame);
        send(frame);
        return;
      case 'bytewise':
        for (const byte of frame) send(Buffer.from([byte]));
        return;
      case 'and-more':
        send(Buffer.concat([frame, frame.subarray(0, 3)]));
        return;
      case 'partial':
        send(frame.subarray(0, 8));
        return;
      case 'rst':
        socket.resetAndDestroy();
        return;
      case 'fin':
        socket.end();
        return;
    }
  }

  #reply({ unit, fn, pdu }: SeenRequest): Buffer {
    const first = pdu.readUInt16BE(1);
    if (fn >= 5) {
      if (fn === 6) this.written.set(first, pdu.readUInt16BE(3));
      if (fn === 5) this.written.set(first, pdu.readUInt16BE(3) === 0xff00 ? 1 : 0);
      if (fn === 16)
        for (let at = 0; at < pdu.readUInt16BE(3); at++) this.written.set(first + at, pdu.readUInt16BE(6 + 2 * at));
      return Buffer.from(pdu.subarray(0, 5));
    }
    const count = pdu.readUInt16BE(3);
    const value = (address: number) => this.written.get(address) ?? this.word(unit, address);
    if (fn <= 2) {
      const bytes = Buffer.alloc(Math.ceil(count / 8));
      for (let at = 0; at < count; at++)
        if (value(first + at) & 1) bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7));
      return Buffer.concat([Buffer.from([fn, bytes.length]), bytes]);
    }
    const bytes = Buffer.alloc(2 * count);
    for (let at = 0; at < count; at++) bytes.writeUInt16BE(value(first + at), 2 * at);
    return Buffer.concat([Buffer.from([fn, bytes.length]), bytes]);
  }
}

function framed(id: number, unit: number, pdu: Buffer): Buffer {
  const frame = Buffer.alloc(7 + pdu.length);
  frame.writeUInt16BE(id, 0);
  frame.writeUInt16BE(pdu.length + 1, 4);
  frame[6] = unit;
  pdu.copy(frame, 7);
  return frame;
}
