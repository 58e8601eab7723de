import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Status } from '../../api/schemas.ts';
import { call } from './http.ts';

const EVERY_MS = 2000;

/** How the agent fares; undefined: not known yet. */
export const status = signal<Status | undefined>(undefined);

/** Keeps the status fresh while a view that shows it is open. */
export function useStatus(): Status | undefined {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ended = false;
    const ask = async () => {
      try {
        if (!document.hidden) status.value = await call<Status>('GET', '/api/status');
      } catch {
        // The connection says what is wrong; what was known stays.
      }
      if (!ended) timer = setTimeout(() => void ask(), EVERY_MS);
    };
    void ask();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  return status.value;
}
