import type { NodeStatus } from '../api/schemas.ts';
import type { MeshStatus } from '../options.ts';
import type { HeardNode } from './pin-book.ts';

/** Every process on the bus as this node sees it: from what they say of themselves, and from the links there are. */
export function nodeStatus(own: string, heard: readonly HeardNode[], mesh: MeshStatus | undefined): NodeStatus[] {
  const links = new Map(mesh?.links.map((link) => [link.id, link]));
  const known = new Set(heard.map(({ id }) => id));
  const nodes = heard.map(({ id, name, pins, heardS, goneS }): NodeStatus => {
    const link = links.get(id);
    const state = id === own ? 'here' : goneS !== undefined ? 'lost' : link?.open ? 'linked' : 'relayed';
    const since = state === 'lost' ? goneS : link?.open ? link.forMs / 1000 : undefined;
    return {
      id,
      name,
      state,
      pins,
      addresses: [...(link?.addresses ?? [])],
      silent: id === own ? 0 : heardS,
      ...(since !== undefined && { since }),
      ...(link?.open && { encrypted: link.encrypted }),
      ...(link?.roundTripMs !== undefined && { round_trip_ms: link.roundTripMs }),
      missed: link?.missed ?? 0,
      dropped: link?.dropped ?? 0,
    };
  });
  const strangers = (mesh?.strangers ?? []).flatMap(({ id, silentMs }): NodeStatus[] =>
    known.has(id)
      ? []
      : [{ id, name: id, state: 'v1', pins: 0, addresses: [], silent: silentMs / 1000, missed: 0, dropped: 0 }],
  );
  return [...nodes, ...strangers];
}
