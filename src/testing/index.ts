/** For tests of users' own systems: an agent on simulated hardware, and the contract that every driver has to pass. */
export type { Fault } from '../../drivers/mock/device.ts';
export { ManualClock } from '../clock/manual-clock.ts';
export { type DrivenValue, MockHardware } from './mock-hardware.ts';
export { startAgent, type TestAgent, type TestAgentOptions } from './start-agent.ts';
