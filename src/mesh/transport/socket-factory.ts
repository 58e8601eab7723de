import type { Context, Dealer, Router, Subscriber, XPublisher } from 'zeromq';
import { DcsError } from '../../errors/errors.ts';
import type { Log } from '../../log/log.ts';
import type { MeshStats } from '../stats.ts';

type Zmq = typeof import('zeromq');

/** Longest frame on any link; a longer one is dropped and counted. */
export const MAX_FRAME = 1024 * 1024;
/** ZeroMQ closes a connection that sends a longer frame, and does not report it. The limit protects the memory. */
const MAX_TRANSPORT_FRAME = 2 * MAX_FRAME;
/** Most frames that wait for one peer, each way. Beyond it frames to that peer are dropped. */
export const HIGH_WATER_MARK = 1000;
/** Most frames of a session that wait in ZeroMQ, each way; a frame may hold many messages. */
const SESSION_HIGH_WATER_MARK = 250;
/** Time in which frames sent last may still leave when the sockets close (ms). */
export const LINGER_MS = 1000;

const ZAP_DOMAIN = 'dcs-io';

/** A CURVE key pair as ZeroMQ writes it: 40 characters of Z85 each. */
export interface KeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** Makes the ZeroMQ sockets of one mesh, all in one context. */
export interface SocketFactory {
  readonly context: Context;
  readonly stats: MeshStats;
  readonly log: Log;
  /** ZAP domain of the sockets that need an allowed key. */
  readonly zapDomain: string;
  subscriber(): Subscriber;
  publisher(): XPublisher;
  /** Accepts sessions. Encrypted when this node has keys: then only allowed keys are admitted. */
  router(): Router;
  /** The socket on which ZeroMQ asks whether a connection is admitted (ZAP). */
  zap(): Router;
  /** Dials a session. `serverKey`: the public key the other end must have, when the mesh is encrypted. */
  dealer(serverKey?: string): Dealer;
}

/**
 * Loads ZeroMQ and makes a context. `own`: this process's keys, when its sessions are encrypted. Rejects with NOT_SUPPORTED
 * when there is no binary for this machine.
 */
export async function openSocketFactory(stats: MeshStats, log: Log, own?: KeyPair): Promise<SocketFactory> {
  const zmq = await loadZmq();
  const context = new zmq.Context({ blocky: false, maxSockets: 4095 });
  return {
    context,
    stats,
    log,
    zapDomain: ZAP_DOMAIN,
    zap: () => new zmq.Router({ context, linger: 0 }),
    subscriber: () =>
      new zmq.Subscriber({ context, ...commonOptions(), ...keepaliveOptions, receiveHighWaterMark: HIGH_WATER_MARK }),
    publisher: () =>
      new zmq.XPublisher({
        context,
        ...commonOptions(),
        ...sendOptions(),
        receiveHighWaterMark: 0,
        verbosity: 'allSubsUnsubs',
      }),
    router: () =>
      new zmq.Router({
        context,
        ...commonOptions(),
        ...sessionOptions(),
        ...(own && curveServerOptions(own)),
        mandatory: true,
      }),
    dealer: (serverKey) =>
      new zmq.Dealer({
        context,
        ...commonOptions(),
        ...sessionOptions(),
        // With `immediate` libzmq drops frames that arrived but were not read yet when the connection breaks: a bye, or the
        // report of a safe state. A dealer is used for one connection, so nothing is queued for a later one.
        immediate: false,
        ...(own &&
          serverKey !== undefined && {
            curveServerKey: serverKey,
            curvePublicKey: own.publicKey,
            curveSecretKey: own.secretKey,
          }),
      }),
  };
}

/** Returns false for a frame that is too long, and counts it. */
export function isReadable(frame: Buffer, stats: MeshStats): boolean {
  if (frame.length <= MAX_FRAME) return true;
  stats.oversized++;
  return false;
}

/** Loads the native library: only a process that joins the mesh needs it. */
export async function loadZmq(load: () => Promise<Zmq> = () => import('zeromq')): Promise<Zmq> {
  try {
    return await load();
  } catch (error) {
    throw new DcsError(
      'NOT_SUPPORTED',
      `ZeroMQ has no binary for this system (${process.platform} ${process.arch}), so this process cannot join the bus of ` +
        'others. On a Raspberry Pi use the 64-bit Raspberry Pi OS; or build zeromq from source; or set bus.enabled: false',
      { found: `${process.platform} ${process.arch}`, expected: 'linux x64 or arm64', cause: error },
    );
  }
}

/**
 * With `immediate` nothing is queued for a peer that is not connected: it would arrive outdated after the peer's restart. The
 * random part keeps the peers of a dead broker from reconnecting at the same moment.
 */
function commonOptions() {
  return {
    linger: 0,
    handshakeInterval: 3000,
    connectTimeout: 2000,
    immediate: true,
    reconnectInterval: 100 + Math.floor(Math.random() * 100),
    reconnectMaxInterval: 1000,
    maxMessageSize: MAX_TRANSPORT_FRAME,
  };
}

/**
 * TCP keepalive finds a dead peer within 6 s. ZeroMQ's own heartbeats are never used: libzmq 4.3 aborts the process
 * (`Assertion failed: !_io_error`) when it sends or answers one on a connection that broke while its input was blocked. Input is
 * blocked while the program is busy and the peer sends much. The abort would also hit v1 processes.
 */
export const keepaliveOptions = {
  tcpKeepalive: 1,
  tcpKeepaliveIdle: 1,
  tcpKeepaliveInterval: 1,
  tcpKeepaliveCount: 5,
} as const;

/** A send never waits: a frame that cannot be queued is dropped and counted. */
function sendOptions() {
  return { sendHighWaterMark: HIGH_WATER_MARK, sendTimeout: 0 };
}

/** With `zapEnforceDomain` no connection is admitted while the authenticator does not run. */
function curveServerOptions({ publicKey, secretKey }: KeyPair) {
  return {
    curveServer: true,
    curvePublicKey: publicKey,
    curveSecretKey: secretKey,
    zapDomain: ZAP_DOMAIN,
    zapEnforceDomain: true,
  };
}

function sessionOptions() {
  return {
    sendHighWaterMark: SESSION_HIGH_WATER_MARK,
    receiveHighWaterMark: SESSION_HIGH_WATER_MARK,
    sendTimeout: 0,
    // Sessions have heartbeats of their own; this is for connections whose session has ended.
    ...keepaliveOptions,
  };
}
