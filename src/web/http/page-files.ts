import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { securityHeaders } from './respond.ts';

/** Scripts and styles from our own files alone; nothing may frame the page. */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
  readonly gzip: Buffer;
  /** Its name has a hash of what it holds. */
  readonly lasting: boolean;
}

/** The built page, read once when the first browser comes. Only files that are there can be asked for. */
export class PageFiles {
  #files: Map<string, PageFile> | undefined;

  /** Answers a request for a file of the page; false: there is none at this path. */
  serve(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    this.#files ??= readPage();
    const file = this.#files.get(path === '/' ? '/index.html' : path);
    if (!file) return false;
    const headers = {
      ...securityHeaders,
      'content-security-policy': CSP,
      'cache-control': file.lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
      etag: file.etag,
      vary: 'accept-encoding',
    };
    if (request.headers['if-none-match'] === file.etag) {
      response.writeHead(304, headers).end();
      return true;
    }
    const zipped = /\bgzip\b/.test(request.headers['accept-encoding']?.toString() ?? '');
    const body = zipped ? file.gzip : file.body;
    response.writeHead(200, {
      ...headers,
      'content-type': file.type,
      'content-length': body.length,
      ...(zipped && { 'content-encoding': 'gzip' }),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
    return true;
  }
}

function readPage(): Map<string, PageFile> {
  const folder = pageFolder();
  const files = new Map<string, PageFile>();
  if (folder === undefined) return files;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(join(folder, name));
    const path = `/${relative(folder, join(folder, name)).split(sep).join('/')}`;
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    files.set(path, { type, etag, body, gzip: gzipSync(body), lasting: path.startsWith('/assets/') });
  }
  return files;
}

/** dist/web, seen from the built package and from the sources. */
function pageFolder(): string | undefined {
  return ['../../../web', '../../../dist/web']
    .map((up) => fileURLToPath(new URL(up, import.meta.url)))
    .find((folder) => existsSync(join(folder, 'index.html')));
}
