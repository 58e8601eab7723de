import { signal } from '@preact/signals';
import type { SessionInfo } from '../../api/schemas.ts';
import { ApiError, callApi, session } from './api.ts';
import { connect, disconnect } from './connection.ts';

const RETRY_MS = 2000;

/** Why the page cannot show anything; '' when it can. */
export const connectError = signal('');

let timer: ReturnType<typeof setTimeout> | undefined;
/** Number of the last request: answers to earlier ones are outdated. */
let requestNumber = 0;

/** Gets the current user, and connects when it has a role. Retries while the agent does not answer. */
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

/** Resolves once logged in; rejects with an ApiError. */
export async function logIn(body: { user: string; password: string } | { token: string }): Promise<void> {
  const found = await callApi<SessionInfo>('POST', '/api/session', body);
  requestNumber++;
  applySession(found);
}

export async function logOut(): Promise<void> {
  disconnect();
  await callApi('DELETE', '/api/session').catch(() => {
    // The session has ended already, or the agent does not answer: openSession() finds out.
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
