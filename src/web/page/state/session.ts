import { signal } from '@preact/signals';
import type { SessionInfo } from '../../api/schemas.ts';
import { connect, disconnect } from './connection.ts';
import { ApiFailure, call } from './http.ts';

/** Who is looking; undefined: not known yet. */
export const session = signal<SessionInfo | undefined>(undefined);
/** Why nothing can be shown, as long as that is so. */
export const trouble = signal('');

/** Asks who we are, and connects if we may see anything. Tries again while the agent is away. */
export async function openSession(): Promise<void> {
  try {
    session.value = await call<SessionInfo>('GET', '/api/session');
    trouble.value = '';
  } catch (error) {
    trouble.value = error instanceof ApiFailure ? error.message : 'The agent does not answer.';
    setTimeout(() => void openSession(), 2000);
    return;
  }
  document.title = `${session.value.node} – dcs-io`;
  if (session.value.role !== null) connect(() => void openSession());
}

/** Resolves once logged in. Rejects with an ApiFailure that says why not. */
export async function logIn(body: { user: string; password: string } | { token: string }): Promise<void> {
  await call('POST', '/api/session', body);
  await openSession();
}

export async function logOut(): Promise<void> {
  await call('DELETE', '/api/session');
  disconnect();
  await openSession();
}

export function mayOperate(): boolean {
  const role = session.value?.role;
  return role === 'operate' || role === 'admin';
}
