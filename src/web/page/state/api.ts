import { session } from './session.ts';

/** What the agent answered when it did not do what was asked. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A request to the agent's API; resolves with its JSON. Rejects with an ApiError that a person can read. */
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
