const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Z85, the text form of ZeroMQ's keys (ZeroMQ RFC 32): 5 characters for 4 bytes. */
export function decodeZ85(text: string): Buffer {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    let value = 0;
    for (const character of text.slice(at, at + 5)) value = value * 85 + ALPHABET.indexOf(character);
    bytes.writeUInt32BE(value >>> 0, (at / 5) * 4);
  }
  return bytes;
}

/** The text form of bytes; their number must be a multiple of 4. */
export function encodeZ85(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    let value = bytes.readUInt32BE(at);
    let five = '';
    for (let digit = 0; digit < 5; digit++) {
      five = (ALPHABET[value % 85] ?? '') + five;
      value = Math.floor(value / 85);
    }
    text += five;
  }
  return text;
}
