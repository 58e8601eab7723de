/**
 * Returns a test for names that match a pattern, in which `*` stands for any text. It takes at most pattern × name steps.
 * A regular expression with many `*` could block the event loop for hours.
 */
export function namePattern(pattern: string): (name: string) => boolean {
  const parts = pattern.split(/\*+/);
  const [first = '', ...others] = parts;
  const last = others.pop();
  return (name) => {
    if (last === undefined) return name === first;
    if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
    // The first place of each part leaves the most room for the parts behind it.
    let at = first.length;
    for (const part of others) {
      const found = name.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= name.length - last.length;
  };
}
