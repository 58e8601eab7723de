import { signal } from '@preact/signals';
import type { SessionInfo } from '../../api/schemas.ts';
import { ApiError, callApi } from './api.ts';
import { connect, disconnect } from './connection.ts';

const RETRY_MS = 2000;

/** Who is looking; undefined: not known yet. */
export const session = signal<SessionInfo | undefined>(undefined);
/** Why nothing can be shown, as long as that is so. */
export const connectError = signal('');

let timer: ReturnType<typeof setTimeout> | undefined;
/** Counts the questions: only the answer to the last one says how it is. */
let requestNumber = 0;

/** Asks who we are, and connects if we may see anything. Tries again while the agent is away. */
export async function openSession(): Promise<void> {
  clearTimeout(timer);
  const turn = ++requestNumber;
  try {
    const found = await callApi<SessionInfo>('GET', '/api/session');
    if (turn === requestNumber) applySession(found);
  } catch (error) {
    if (turn !== requestNumber) return;
    connectError.value = error instanceof ApiError ? error.message : 'The agent does not answer.';
    timer = setTimeout(() => void openSession(), RETRY_MS);
  }
}

/** Resolves once logged in. Rejects with an ApiError that says why not. */
export async function logIn(body: { user: string; password: string } | { token: string }): Promise<void> {
  const found = await callApi<SessionInfo>('POST', '/api/session', body);
  requestNumber++;
  applySession(found);
}

export async function logOut(): Promise<void> {
  disconnect();
  await callApi('DELETE', '/api/session').catch(() => {
    // The login is over already, or the agent is away: the next question tells.
  });
  await openSession();
}

export function mayOperate(): boolean {
  const role = session.value?.role;
  return role === 'operate' || role === 'admin';
}

function applySession(found: SessionInfo): void {
  session.value = found;
  connectError.value = '';
  document.title = `${found.node} – dcs-io`;
  if (found.role === null) disconnect();
  else connect(() => void openSession());
}
