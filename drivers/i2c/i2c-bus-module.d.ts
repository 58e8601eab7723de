/** What is used of npm i2c-bus 5. Declared here because the package is optional: npm leaves it out without a compiler. */
declare module 'i2c-bus' {
  export interface I2cBusHandle {
    i2cFuncsSync(): { readonly i2c: boolean };
    i2cReadSync(address: number, length: number, buffer: Buffer): number;
    i2cWriteSync(address: number, length: number, buffer: Buffer): number;
    readI2cBlockSync(address: number, command: number, length: number, buffer: Buffer): number;
    writeI2cBlockSync(address: number, command: number, length: number, buffer: Buffer): number;
    readByteSync(address: number, command: number): number;
    readWordSync(address: number, command: number): number;
    writeByteSync(address: number, command: number, byte: number): void;
    receiveByteSync(address: number): number;
    sendByteSync(address: number, byte: number): void;
    closeSync(): void;
  }
  const library: { openSync(busNumber: number, options?: { forceAccess?: boolean }): I2cBusHandle };
  export default library;
}
