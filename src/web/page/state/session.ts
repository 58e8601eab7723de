import { signal } from '@preact/signals';
import type { SessionInfo } from '../../api/schemas.ts';
import { connect, disconnect } from './connection.ts';
import { ApiFailure, call } from './http.ts';

const AGAIN_MS = 2000;

/** Who is looking; undefined: not known yet. */
export const session = signal<SessionInfo | undefined>(undefined);
/** Why nothing can be shown, as long as that is so. */
export const trouble = signal('');

let timer: ReturnType<typeof setTimeout> | undefined;
/** Counts the questions: only the answer to the last one says how it is. */
let asked = 0;

/** Asks who we are, and connects if we may see anything. Tries again while the agent is away. */
export async function openSession(): Promise<void> {
  clearTimeout(timer);
  const turn = ++asked;
  try {
    const found = await call<SessionInfo>('GET', '/api/session');
    if (turn === asked) begin(found);
  } catch (error) {
    if (turn !== asked) return;
    trouble.value = error instanceof ApiFailure ? error.message : 'The agent does not answer.';
    timer = setTimeout(() => void openSession(), AGAIN_MS);
  }
}

/** Resolves once logged in. Rejects with an ApiFailure that says why not. */
export async function logIn(body: { user: string; password: string } | { token: string }): Promise<void> {
  const found = await call<SessionInfo>('POST', '/api/session', body);
  asked++;
  begin(found);
}

export async function logOut(): Promise<void> {
  disconnect();
  await call('DELETE', '/api/session').catch(() => {
    // The login is over already, or the agent is away: the next question tells.
  });
  await openSession();
}

export function mayOperate(): boolean {
  const role = session.value?.role;
  return role === 'operate' || role === 'admin';
}

function begin(found: SessionInfo): void {
  session.value = found;
  trouble.value = '';
  document.title = `${found.node} – dcs-io`;
  if (found.role === null) disconnect();
  else connect(() => void openSession());
}
