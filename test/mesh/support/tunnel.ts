import { Peer } from './peer.ts';

/** A plain TCP forwarder, as `ssh -L` is: runs in `from`, its other end in `to`; they share nothing but this process. */
export async function tunnel(from: string, to: string, socket: string): Promise<Peer[]> {
  const ends: Peer[] = [];
  for (const [local, remote] of [
    [8012, 5012],
    [8013, 5013],
  ]) {
    const path = `/tmp/${socket}-${local}.sock`;
    const near = `require('fs').rmSync('${path}',{force:true});require('net').createServer((a)=>{const b=require('net').connect(${remote},'127.0.0.1');a.pipe(b);b.pipe(a);a.on('error',()=>b.destroy());b.on('error',()=>a.destroy())}).listen('${path}',()=>console.log('{"up":1}'))`;
    const far = `require('net').createServer((a)=>{const b=require('net').connect('${path}');a.pipe(b);b.pipe(a);a.on('error',()=>b.destroy());b.on('error',()=>a.destroy())}).listen(${local},'127.0.0.1',()=>console.log('{"up":1}'))`;
    for (const [script, where] of [
      [near, to],
      [far, from],
    ] as const) {
      const end = new Peer(process.execPath, ['-e', script], where);
      await end.line((line) => 'up' in line);
      ends.push(end);
    }
  }
  return ends;
}
