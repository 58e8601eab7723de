import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isRecord } from '../../message/envelope.ts';
import { isPort, isRoutable, reachableAddresses } from '../transport/addresses.ts';
import type { Ports } from '../v1/socket-pair.ts';

/** What a dcs-io node tells the others about itself; travels in introductions beside what v1 knows. */
export interface NodeInfo {
  /** Its id on the wire, new at every start. */
  readonly id: string;
  readonly name: string;
  /** New at every start of the process; longer than the id, so that it never repeats. */
  readonly boot: string;
  /** Equal for processes that share one loopback interface. */
  readonly machine: string;
  /** Where other machines reach it; none when it listens on loopback only. */
  readonly addresses: readonly string[];
  /** Where processes of its own machine reach it, if not at 127.0.0.1, which does not travel. */
  readonly local?: string;
  /** Port of its door. */
  readonly port: number;
  /** Ports of its server link, for v1. */
  readonly server: Ports;
  /** Its public key, when it speaks only encrypted. */
  readonly key?: string;
}

const MAX_NODES = 1024;

/** Reads what another node says about itself; undefined when it makes no sense. */
export function readNode(found: unknown): NodeInfo | undefined {
  if (!isRecord(found)) return undefined;
  const { id, name, boot, machine, addresses, local, port, server, key } = found;
  if (!isText(id, 64) || !isText(name, 256) || !isText(boot, 64) || !isText(machine, 64)) return undefined;
  if (
    (local !== undefined && !isText(local, 64)) ||
    !isPort(port) ||
    !isRecord(server) ||
    !isPort(server['rx']) ||
    !isPort(server['tx'])
  ) {
    return undefined;
  }
  if (!Array.isArray(addresses) || (key !== undefined && !isText(key, 40))) return undefined;
  return {
    id,
    name,
    boot,
    machine,
    port,
    ...(local !== undefined && isRoutable(local) && { local }),
    addresses: addresses.filter((address) => isText(address, 64) && isRoutable(address)).slice(0, 16),
    server: { rx: server['rx'], tx: server['tx'] },
    ...(key !== undefined && { key }),
  };
}

/** Reads a list of nodes; what is none is left out. */
export function readNodes(found: unknown): NodeInfo[] {
  if (!Array.isArray(found)) return [];
  return found.slice(0, MAX_NODES).flatMap((entry) => readNode(entry) ?? []);
}

/** The addresses under which `from` can call `to`, best first. None: only the other way round. */
export function waysTo(to: NodeInfo, from: NodeInfo): readonly string[] {
  return to.machine === from.machine ? [to.local ?? '127.0.0.1'] : to.addresses;
}

/** Addresses of a node that listens on `listen`, as they are now. */
export function placesOf(listen: string): Pick<NodeInfo, 'addresses' | 'local' | 'machine'> {
  return { addresses: reachableAddresses(listen), machine: machineId(), ...(isRoutable(listen) && { local: listen }) };
}

/**
 * Tells machines apart, and containers: two processes with the same value reach each other over loopback. The kernel's
 * boot id and the network namespace say exactly that.
 */
function machineId(): string {
  const parts = [hostname()];
  try {
    parts.push(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), readlinkSync('/proc/self/ns/net'));
  } catch {
    parts.push('no /proc');
  }
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

function isText(found: unknown, longest: number): found is string {
  return typeof found === 'string' && found.length > 0 && found.length <= longest;
}
