export { Actor, type Handler, type RequestOptions } from './bus/actor.ts';
export { type Attachment, Bus, type BusStats, type BusTransport } from './bus/bus.ts';
export { PinClient, type PinRequestOptions, type SetOptions } from './bus/pin-client.ts';
export { type RestartPolicy, Supervised, Supervisor } from './bus/supervisor.ts';
export { type Clock, type DurationMs, type MonotonicMs, systemClock, type UnixSeconds } from './clock/clock.ts';
export { DcsError, type ErrorCode, errorCodes } from './errors/errors.ts';
export type { Log } from './log/log.ts';
export { type ConnectOptions, connect, LightClient } from './mesh/light-client.ts';
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
export { type RunningAgent, type StartAgentOptions, startAgent } from './start-agent.ts';
