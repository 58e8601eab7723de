import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { Bus } from '../../src/bus/bus.ts';
import { loneMesh } from './support/lone-mesh.ts';

it('a start binds broker ports that become free a moment after it began', async () => {
  const { mesh, rx, tx } = await loneMesh(new Bus());
  const squatters = [rx, tx].map((port) => createServer((socket) => socket.destroy()).listen(port, '127.0.0.1'));
  await Promise.all(squatters.map((squatter) => once(squatter, 'listening')));
  const started = mesh.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const squatter of squatters) squatter.close();
  await started;
  expect(mesh.isBroker).toBe(true);
  await mesh.stop();
});
