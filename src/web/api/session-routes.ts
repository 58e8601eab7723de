import type { IncomingMessage } from 'node:http';
import { type Authenticator, HttpError } from '../auth/authenticator.ts';
import type { Session } from '../auth/sessions.ts';
import { type Route, route } from '../http/route.ts';
import type { WebHost, WebOptions } from '../options.ts';
import { errorSchema, loginSchema, type SessionInfo, sessionSchema } from './schemas.ts';

/** Routes to log in, log out, and see the current user. `onSessionEnd` is called after a logout. */
export function sessionRoutes(
  auth: Authenticator,
  options: WebOptions,
  host: WebHost,
  onSessionEnd: () => void,
): Route[] {
  const cookie = (secret: string) =>
    `${auth.cookieName}=${secret}; Path=/; HttpOnly; SameSite=Strict${options.tls ? '; Secure' : ''}${secret === '' ? '; Max-Age=0' : ''}`;
  const sessionInfo = (session: Session | undefined): SessionInfo => ({
    node: host.self().name,
    user: auth.withoutUsers ? 'local' : (session?.user.name ?? null),
    role: auth.withoutUsers ? 'admin' : (session?.user.role ?? null),
    login: !auth.withoutUsers,
    ...(session && { csrf: session.csrf }),
  });
  const currentUser = (request: IncomingMessage): SessionInfo => {
    const identity = auth.identify(request);
    return { ...sessionInfo(identity?.session), user: identity?.name ?? null, role: identity?.role ?? null };
  };
  return [
    route({
      method: 'GET',
      path: '/api/session',
      summary: 'the current user',
      needs: 'anyone',
      responses: { 200: { description: 'user and role', schema: sessionSchema } },
      handle: ({ request }) => ({ status: 200, json: currentUser(request) }),
    }),
    route({
      method: 'POST',
      path: '/api/session',
      summary: 'log a browser in, with name and password or with a token; the answer sets a cookie',
      needs: 'anyone',
      body: loginSchema,
      responses: {
        200: { description: 'logged in', schema: sessionSchema },
        400: { description: 'the request is wrong', schema: errorSchema },
        401: { description: 'the name, password or token is wrong', schema: errorSchema },
        403: { description: 'there are no users, or the origin of the page is not allowed', schema: errorSchema },
        413: { description: 'the body is too long', schema: errorSchema },
        429: {
          description: 'too many failed logins; the header retry-after says how long to wait',
          schema: errorSchema,
        },
        503: { description: 'too many logins at the same time', schema: errorSchema },
      },
      handle: async ({ request, body }) => {
        if (auth.withoutUsers) throw new HttpError(403, 'this agent has no users to log in as');
        const { secret, session } =
          'token' in body
            ? auth.loginWithToken(body.token, request)
            : await auth.login(body.user, body.password, request);
        return { status: 200, json: sessionInfo(session), headers: { 'set-cookie': cookie(secret) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/api/session',
      summary: 'log out',
      needs: 'view',
      responses: {
        204: { description: 'logged out' },
        401: { description: 'not logged in', schema: errorSchema },
        403: { description: 'the header x-csrf-token is missing', schema: errorSchema },
      },
      handle: ({ identity }) => {
        if (identity?.session) auth.sessions.end(identity.session);
        onSessionEnd();
        return { status: 204, headers: { 'set-cookie': cookie('') } };
      },
    }),
  ];
}
