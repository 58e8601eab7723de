/** For tests of users' own systems: an agent on simulated hardware, and the contract that every driver has to keep. */
export type { Fault } from '../../drivers/mock/device.ts';
export { ManualClock } from '../clock/manual-clock.ts';
export { conformance, type Fixture, type InputFixture, type OutputFixture } from './conformance.ts';
export { type DrivenValue, MockHardware } from './mock-hardware.ts';
export { type LogLine, memoryLog, type OpenedPort, openPort, type PinKeys } from './open-port.ts';
export { startAgent, type TestAgent, type TestAgentOptions } from './start-agent.ts';
