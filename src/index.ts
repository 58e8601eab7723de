export { Actor, type Handler, type RequestOptions } from './bus/actor.ts';
export { type Attachment, Bus, type BusInterest, type BusStats, type BusTransport, type Progress } from './bus/bus.ts';
export { PinClient, type PinRequestOptions, type SetOptions } from './bus/pin-client.ts';
export {
  type RestartPolicy,
  Supervised,
  type SupervisedState,
  Supervisor,
  type SupervisorEvents,
  type SupervisorLog,
} from './bus/supervisor.ts';
export { type Clock, type DurationMs, type MonotonicMs, systemClock, type UnixSeconds } from './clock/clock.ts';
export type { ConfigObject } from './config/load.ts';
export { DcsError, type ErrorCode, errorCodes } from './errors/errors.ts';
export type { Log } from './log/log.ts';
export { type ConnectOptions, connect, LightClient } from './mesh/light-client.ts';
export type { NodeInfo } from './mesh/local-node.ts';
export { Mesh, type MeshEvents, type MeshLink, type MeshOptions, type MeshPeer, type MeshStats } from './mesh/mesh.ts';
export type { EndReason } from './mesh/peer/session.ts';
export { allow, type Grant, listAllowed, newKeys, revoke, showKey } from './mesh/security/keys.ts';
export { type Endpoint, type Ports, parseEndpoint } from './mesh/transport/addresses.ts';
export { type Envelope, encodeEnvelope, newId, type Parsed, type Payload, parseEnvelope } from './message/envelope.ts';
export {
  type CommandState,
  type ControlledBy,
  type IoCommand,
  type IoError,
  type IoMessage,
  type IoReport,
  ioCommandSchema,
  isReport,
  type NodeAbout,
  type NodeMessage,
  type OutputReport,
  type PinInfo,
  type PinValue,
  type Quality,
  qualities,
} from './message/payloads.ts';
export type { Direction, PinKind, PinSpec, RawValue } from './pin/pin.ts';
export { type RunningAgent, type StartAgentOptions, startAgent } from './start-agent.ts';
