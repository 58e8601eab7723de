import { signal } from '@preact/signals';
import type { SessionInfo } from '../../api/schemas.ts';

/** The current user; `undefined` until the agent has answered. */
export const session = signal<SessionInfo | undefined>(undefined);

/** An error response of the agent. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Sends a request to the agent's API. Resolves with its JSON; rejects with an ApiError whose message is for people. */
export async function callApi<T>(method: string, path: string, body?: unknown): Promise<T> {
  const csrf = session.value?.csrf;
  const response = await fetch(path, {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(csrf !== undefined && { 'x-csrf-token': csrf }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const found = response.status === 204 ? undefined : await response.json();
  if (!response.ok) throw new ApiError(response.status, String(found?.message ?? response.statusText));
  return found;
}
