export { memoryLog, type OpenedPort, openPort, type PinKeys, recordReadings } from '../../src/testing/open-port.ts';
