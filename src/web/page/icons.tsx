const paths = {
  pins: 'M4 6h10M4 12h10M4 18h10M18 6h2M18 12h2M18 18h2',
  trends: 'M4 19V5M4 19h16M7 15l4-5 3 3 5-7',
  messages: 'M5 5h14v10H10l-5 4z',
  system: 'M12 4v5M5 15v-3h14v3M12 9v3M3 15h4v4H3zM10 15h4v4h-4zM17 15h4v4h-4z',
  board: 'M5 4h14v16H5zM9 8h.01M15 8h.01M9 12h.01M15 12h.01M9 16h.01M15 16h.01',
  search: 'M11 5a6 6 0 1 1 0 12a6 6 0 0 1 0-12zM16 16l4 4',
  close: 'M6 6l12 12M18 6L6 18',
  pause: 'M9 5v14M15 5v14',
  play: 'M8 5l11 7-11 7z',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  hand: 'M8 12V6a1.5 1.5 0 0 1 3 0v5M11 11V4.500a1.500 1.500 0 0 1 3 0V11M14 11V6a1.500 1.500 0 0 1 3 0v8a6 6 0 0 1-6 6c-3 0-4-1-6-4l-1.500-3c-.5-1.500 1.500-2.500 2.500-1L8 14',
  shield: 'M12 3l7 3v5c0 5-3 8-7 10c-4-2-7-5-7-10V6zM9 12l2 2 4-4',
  lock: 'M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3',
  check: 'M5 13l4 4L19 7',
  out: 'M10 5H5v14h5M14 8l4 4-4 4M18 12H9',
} as const;

/** An icon beside text, hidden from screen readers. */
export function Icon({ name }: { name: keyof typeof paths }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
