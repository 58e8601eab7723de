import type { Status } from '../../api/schemas.ts';

const WIDTH = 320;
const HEIGHT = 190;
const RADIUS = 9;
/** More would be a tangle; the list has them all. */
const MOST = 10;

/** This node in the middle, the others around it; a line is a direct link. The list beside it says the same in words. */
export function MeshGraph({ nodes }: { nodes: Status['nodes'] }) {
  const others = nodes.filter(({ state }) => state !== 'here');
  if (others.length === 0 || others.length > MOST) return null;
  const [x, y] = [WIDTH / 2, HEIGHT / 2];
  const placed = others.map((node, at) => {
    const turn = (2 * Math.PI * at) / others.length + Math.PI;
    return { node, x: x + (WIDTH / 2 - 60) * Math.cos(turn), y: y + (HEIGHT / 2 - 32) * Math.sin(turn) };
  });
  return (
    <svg class="mesh" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      {placed.map(({ node, ...to }) => (
        <line key={node.id} x1={x} y1={y} x2={to.x} y2={to.y} class={`is-${node.state}`} />
      ))}
      {placed.map(({ node, ...at }) => (
        <g key={node.id} class={`is-${node.state}`}>
          <circle cx={at.x} cy={at.y} r={RADIUS} />
          <text x={at.x} y={at.y + RADIUS + 14}>
            {node.name}
          </text>
        </g>
      ))}
      <circle class="here" cx={x} cy={y} r={RADIUS + 3} />
      <text x={x} y={y + RADIUS + 17}>
        {nodes.find(({ state }) => state === 'here')?.name}
      </text>
    </svg>
  );
}
