import { useState } from 'preact/hooks';
import { ApiError } from '../state/api.ts';
import { logIn } from '../state/session.ts';

/** The login form: name and password, or a token. */
export function Login({ node }: { node: string }) {
  const [byToken, setByToken] = useState(false);
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const text = (key: string) => String(data.get(key) ?? '');
    setBusy(true);
    try {
      await logIn(byToken ? { token: text('token') } : { user: text('user'), password: text('password') });
    } catch (error) {
      setRefused(error instanceof ApiError ? error.message : 'The agent does not answer.');
    }
    setBusy(false);
  };
  return (
    <main class="login">
      <form onSubmit={submit}>
        <h1>{node}</h1>
        {byToken ? (
          <label>
            Token
            <input name="token" type="password" autocomplete="off" required />
          </label>
        ) : (
          <>
            <label>
              Name
              <input name="user" autocomplete="username" autocapitalize="off" required />
            </label>
            <label>
              Password
              <input name="password" type="password" autocomplete="current-password" required />
            </label>
          </>
        )}
        <p class="refused" role="alert">
          {refused}
        </p>
        <button type="submit" class="main" disabled={busy}>
          Log in
        </button>
        <button type="button" class="link" onClick={() => setByToken(!byToken)}>
          {byToken ? 'Use a name and password' : 'Use a token'}
        </button>
      </form>
    </main>
  );
}
