/** What an outside driver imports: `dcs-io/driver`. */
export { z } from 'zod';
export * from '../clock/clock.ts';
export * from '../errors/errors.ts';
export * from '../pin/pin.ts';
export * from './contract.ts';
export * from './crash-plan.ts';
