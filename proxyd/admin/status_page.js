// SPDX-License-Identifier: ISC
// Puts what the server says now in the place of what it said before, every two seconds.
'use strict';
const late = document.getElementById('late');
let answered = Date.now();

async function refresh() {
    if (document.hidden)
        return;
    try {
        const response = await fetch(location.pathname, {signal: AbortSignal.timeout(5000)});
        const page = new DOMParser().parseFromString(await response.text(), 'text/html');
        const next = page.querySelector('main');
        if (!response.ok || !next)
            throw new Error(response.statusText);
        document.querySelector('main').replaceWith(document.adoptNode(next));
        answered = Date.now();
        late.textContent = '';
    } catch {
        late.textContent = `no answer for ${Math.round((Date.now() - answered) / 1000)} s`;
    }
}

setInterval(refresh, 2000);
document.addEventListener('visibilitychange', refresh);
