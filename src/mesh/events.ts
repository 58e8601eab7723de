import type { NodeInfo } from './node-info.ts';
import type { EndReason } from './session.ts';

/** What a member tells the program it lives in. None may throw. */
export interface MemberEvents {
  peerUp(peer: NodeInfo): void;
  peerDown(peer: NodeInfo, reason: EndReason): void;
  gap(peer: NodeInfo, missed: number): void;
  drop(peer: NodeInfo, messages: number): void;
}
