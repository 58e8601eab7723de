/** Simulated hardware for tests of users' own systems: `import { createMock, MockHardware } from 'dcs-io/mock'`. */
export { createMock, mockOptions } from './driver.ts';
export { type Fault, MockHardware, type RecordedWrite } from './hardware.ts';
