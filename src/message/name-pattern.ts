/**
 * Whether a name fits a pattern in which `*` is any text. It takes pattern × name steps at most, whatever they are: a
 * regular expression of many `*` could take the agent's time for hours.
 */
export function namePattern(pattern: string): (name: string) => boolean {
  const parts = pattern.split(/\*+/);
  const [first = '', ...others] = parts;
  const last = others.pop();
  return (name) => {
    if (last === undefined) return name === first;
    if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
    // Each part at its first place: if that leaves no room for those behind it, no other would.
    let at = first.length;
    for (const part of others) {
      const found = name.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= name.length - last.length;
  };
}
