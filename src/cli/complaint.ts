import type { z } from 'zod';

/** What is wrong, with the option it is about. */
export function complaint(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const name = issue.path.length > 0 ? `--${issue.path.join('.')}: ` : '';
      return `${name}${issue.code === 'invalid_value' ? `one of ${issue.values.join(', ')}` : issue.message}`;
    })
    .join('; ');
}
