import { describe, expect, it } from 'vitest';
import { originKind } from '../../src/web/auth/authenticator.ts';

describe('a page', () => {
  it('is ours under our name alone, and over TLS where ours is', () => {
    expect(originKind(undefined, 'pi:8443', [], true)).toBe('none');
    expect(originKind('https://pi:8443', 'pi:8443', [], true)).toBe('own');
    // Whoever sits on the way answers for any page that is asked for in the clear, under our name and port, too.
    expect(originKind('http://pi:8443', 'pi:8443', [], true)).toBe('foreign');
    expect(originKind('http://pi', 'pi', [], true)).toBe('foreign');
    expect(originKind('http://pi:8080', 'Pi:8080', [], false)).toBe('own');
    // A proxy before us may speak TLS.
    expect(originKind('https://pi', 'pi', [], false)).toBe('own');
    expect(originKind('https://pi.evil.example', 'pi', [], false)).toBe('foreign');
    expect(originKind('null', 'pi', [], false)).toBe('foreign');
    expect(originKind('http://panel', 'pi', ['http://panel'], true)).toBe('listed');
  });
});
