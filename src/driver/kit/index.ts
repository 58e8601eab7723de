/** Building blocks for drivers: polling and scheduling of a bus, links, number codecs, schemas of common keys. */
export * from './block-planner.ts';
export * from './bus-meter.ts';
export * from './link.ts';
export * from './number-codec.ts';
export * from './poller.ts';
export * from './refused-reads.ts';
export * from './scheduler.ts';
export * from './schemas.ts';
export * from './sequential-queue.ts';
export * from './serial-line.ts';
export * from './serial-ports.ts';
export * from './task-queue.ts';
export * from './unit-health.ts';
export * from './value-age.ts';
