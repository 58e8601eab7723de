import type { Bus } from '../../../src/bus/bus.ts';
import type { Log } from '../../../src/log/log.ts';
import { Mesh } from '../../../src/mesh/mesh.ts';
import { freePort } from '../../support/free-port.ts';
import { quietLog } from './log.ts';

/** A node on loopback at free ports that knows no other and is not started yet. */
export async function loneMesh(bus: Bus, log: Log = quietLog): Promise<{ mesh: Mesh; rx: number; tx: number }> {
  const [rx, tx] = [await freePort(), await freePort()];
  const mesh = new Mesh(bus, { listen: '127.0.0.1', rx, tx, brokers: [], proxyBrokers: [], insecure: false, log });
  return { mesh, rx, tx };
}
