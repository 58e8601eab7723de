/** `dcs-io/driver`: everything that an outside driver imports. */
export { z } from 'zod';
export * from '../clock/clock.ts';
export * from '../errors/errors.ts';
export * from '../linux/fd-stream.ts';
export * from '../linux/libc.ts';
export * from '../log/log.ts';
export * from '../pin/pin.ts';
export * from './contract.ts';
export * from './crash-plan.ts';
export * from './kit/index.ts';
export * from './placement.ts';
