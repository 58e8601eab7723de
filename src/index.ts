export { Actor, type Handler, type RequestOptions } from './bus/actor.ts';
export { type Attachment, Bus, type BusStats, type BusTransport as BusLink } from './bus/bus.ts';
export { type RestartPolicy, Supervised, Supervisor } from './bus/supervisor.ts';
export { type Clock, type DurationMs, type MonotonicMs, systemClock, type UnixSeconds } from './clock/clock.ts';
export { ManualClock } from './clock/manual-clock.ts';
export type {
  ByteStream,
  Channel,
  ChannelFacts,
  Driver,
  OpenResult,
  Port,
  PortContext,
  Reading,
  Remark,
  WriteResult,
} from './driver/contract.ts';
export { DcsError, type ErrorCode, errorCodes } from './errors/errors.ts';
export type { Log } from './log/log.ts';
export { LightClient as Leaf } from './mesh/light-client.ts';
export { Mesh, type MeshEvents, type MeshOptions, type MeshPeer, type MeshStats } from './mesh/mesh.ts';
export { allow, type Grant, listAllowed, newKeys, revoke, showKey } from './mesh/security/keys.ts';
export { type Endpoint, parseEndpoint } from './mesh/transport/addresses.ts';
export { type Envelope, encodeEnvelope, newId, type Payload, parseEnvelope } from './message/envelope.ts';
export {
  type IoCommand,
  type IoError,
  type IoMessage,
  type IoReport,
  isReport,
  type NodeMessage,
  type PinInfo,
  type PinValue,
  type Quality,
} from './message/payloads.ts';
export type { Direction, PinKind, PinSpec, RawValue } from './pin/pin.ts';
