import type { WebSocket } from 'ws';
import type { ErrorCode } from '../../errors/errors.ts';
import { type Envelope, parseEnvelope, splitMessageId } from '../../message/envelope.ts';
import { newId } from '../../message/id.ts';
import type { IoError } from '../../message/payloads.ts';
import type { Visitor } from '../auth/gatekeeper.ts';
import type { WebHost } from '../options.ts';
import type { Hub, Listener } from './hub.ts';
import { costOf, Pace } from './pace.ts';
import { subjectOf, whyNot } from './rights.ts';

/** More than this waiting for a slow browser, and messages are left out until it has caught up. */
const MAX_WAITING_BYTES = 1 << 20;

/**
 * One browser or program on the bus. It is told the nodes and the last report of every pin, then `WebSession` with the id
 * it has to send under; from then on everything that passes. One that is too slow misses messages, which are counted, and
 * is told the state anew when it has caught up.
 */
export class BrowserSocket {
  readonly visitor: Visitor;
  readonly #socket: WebSocket;
  readonly #hub: Hub;
  readonly #host: WebHost;
  readonly #counters: { dropped: number; malformed: number; refused: number };
  readonly #used: () => void;
  readonly #pace: Pace;
  readonly #id = newId(10);
  readonly #hear: Listener = (_envelope, text) => this.#tell(text);
  #forget = () => {};
  #missed = 0;
  #answered = true;
  #closed = false;

  constructor(
    socket: WebSocket,
    visitor: Visitor,
    hub: Hub,
    host: WebHost,
    counters: { dropped: number; malformed: number; refused: number },
    used: () => void,
  ) {
    this.#used = used;
    this.#pace = new Pace(host.clock, {
      pause: () => socket.pause(),
      resume: () => {
        // Its answer to the last ping may lie behind what waits to be read.
        this.#answered = true;
        socket.resume();
      },
    });
    this.#socket = socket;
    this.visitor = visitor;
    this.#hub = hub;
    this.#host = host;
    this.#counters = counters;
  }

  begin(): void {
    const socket = this.#socket;
    socket.on('message', (data, binary) => this.#take(binary ? undefined : String(data)));
    socket.on('pong', () => {
      this.#answered = true;
    });
    const leave = this.#hub.admit(this.#id, this.visitor.name);
    socket.on('close', () => {
      this.#forget();
      this.#pace.end();
      leave();
    });
    // A frame that is too long or broken: the socket closes itself, with the code that says so.
    socket.on('error', (error) => {
      this.#counters.malformed++;
      this.#host.log.warn({ user: this.visitor.name, err: error }, `web: a WebSocket failed: ${error.message}`);
    });
    this.#tellState();
    this.#forget = this.#hub.listen(this.#hear);
  }

  /** Called every few seconds. */
  beat(): void {
    if (!this.#answered && !this.#pace.holds) {
      this.#socket.terminate();
      return;
    }
    this.#answered = false;
    this.#socket.ping();
    this.#catchUp();
    // Scripts in a browser see no pings: without this they would take a dead connection for a quiet bus.
    this.#send(this.#hub.envelope({ WebBeat: {} }));
  }

  close(code: number, reason: string): void {
    this.#closed = true;
    this.#forget();
    this.#socket.close(code, reason);
  }

  #tell(text: () => string): void {
    if (this.#missed > 0) this.#catchUp();
    if (this.#missed > 0 || this.#socket.bufferedAmount > MAX_WAITING_BYTES) {
      this.#missed++;
      this.#counters.dropped++;
      return;
    }
    this.#socket.send(text());
  }

  #catchUp(): void {
    if (this.#missed === 0 || this.#socket.bufferedAmount > 0) return;
    this.#tellState();
    this.#missed = 0;
  }

  #tellState(): void {
    for (const envelope of this.#hub.book.state()) this.#send(envelope);
    const { name: user, role } = this.visitor;
    const { name: node } = this.#host.self();
    this.#send(this.#hub.envelope({ WebSession: { id: this.#id, user, role, node, missed: this.#missed } }));
  }

  #send(envelope: Envelope): void {
    this.#socket.send(JSON.stringify(envelope));
  }

  #take(text: string | undefined): void {
    // The other end may go on sending until it answers the close; its login may be what has ended.
    if (this.#closed) {
      this.#counters.refused++;
      return;
    }
    const parsed = text === undefined ? undefined : parseEnvelope(text);
    if (!parsed?.ok) {
      this.#counters.malformed++;
      this.close(1007, `no envelope: ${parsed?.reason ?? 'binary'}`.slice(0, 120));
      return;
    }
    this.#used();
    const envelope = parsed.value;
    this.#pace.spend(costOf(envelope.payload));
    const { sender, msg_id, payload } = envelope;
    if (sender.length !== 1 || sender[0] !== this.#id || splitMessageId(msg_id).creator !== this.#id) {
      this.#counters.refused++;
      this.close(1008, `send as ${this.#id}, which WebSession told you`);
      return;
    }
    const reason = whyNot(this.visitor.role, payload);
    if (reason !== undefined) {
      this.#counters.refused++;
      this.#refuse(envelope, 'NO_PERMISSION', reason);
    } else if (!this.#hub.send(envelope, this.#hear)) {
      this.#counters.malformed++;
      this.#refuse(envelope, 'BAD_COMMAND', 'an IoMessage needs a pin_name');
    }
  }

  #refuse({ msg_id, payload }: Envelope, code: ErrorCode, message: string): void {
    const detail = {
      security: 'refused',
      user: this.visitor.name,
      code,
      subjects: Object.keys(payload).join().slice(0, 200),
    };
    this.#host.log.warn(detail, `web: refused ${this.visitor.name}: ${message}`);
    const answer: IoError = { ...subjectOf(payload), code, message, reply_to: msg_id };
    this.#send(this.#hub.envelope({ IoErrorMessage: answer }));
  }
}
