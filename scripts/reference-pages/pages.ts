import { boardsPage } from './boards-page.ts';
import { cliPage } from './cli-page.ts';
import { configPage } from './config-page.ts';
import { errorsPage } from './errors-page.ts';
import { httpPage } from './http-page.ts';
import { page } from './markdown.ts';
import { profilesPage } from './profiles-page.ts';

/** All pages of docs/reference by file name, generated from schemas, board files, commands and routes. */
export async function referencePages(): Promise<Map<string, string>> {
  return new Map([
    ['config.md', page('Configuration', await configPage())],
    ['boards.md', page('Boards', boardsPage())],
    ['profiles.md', page('Device profiles', await profilesPage())],
    ['cli.md', page('Command line', await cliPage())],
    ['http-api.md', page('HTTP API', httpPage())],
    ['errors.md', page('Errors', errorsPage())],
  ]);
}
