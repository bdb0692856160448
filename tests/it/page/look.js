// What is wrong with how a page is laid out and coloured; every list is empty where all is well.
(() => {
  const box = (element) => element.getBoundingClientRect();
  const named = (element) => `${element.tagName} ${element.getAttribute("class") || ""} ${element.textContent.trim().slice(0, 40)}`;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const within = (inner, outer) => inner.left >= outer.left - 0.5 && inner.right <= outer.right + 0.5 &&
    inner.top >= outer.top - 0.5 && inner.bottom <= outer.bottom + 0.5;

  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const clear = (colour) => colour === "none" || (numbers(colour).length === 4 && numbers(colour)[3] === 0);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!clear(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const speaks = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = all("body *").filter((element) => speaks(element) && !element.closest("title, defs"));
  const ink = (element) => getComputedStyle(element)[element instanceof SVGElement ? "fill" : "color"];
  const drawn = all(".age, .ahead, .grace, .start, .deletion, .expiry").filter((element) => !element.closest("defs"));
  const paint = (element) => {
    const style = getComputedStyle(element);
    const colours = [style.fill, style.stroke].filter((colour) => !clear(colour));
    return Math.max(...colours.map((colour) => contrast(colour, ground(element.closest("svg").parentElement))));
  };
  const bars = all(".line .age, .line .ahead, .line .grace, .line .start, .line .deletion, .line .expiry");

  return {
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    outside: all("body *").filter((element) => !element.closest("defs") &&
      (box(element).right > document.documentElement.clientWidth + 0.5 || box(element).left < -0.5)).map(named),
    strays: bars.filter((bar) => !within(box(bar), box(bar.closest(".row")))).map(named),
    unseen: bars.filter((bar) => box(bar).width < 0.2 || box(bar).height < 4).map(named),
    faint: texts.filter((element) => contrast(ink(element), ground(element)) < 4.5).map(named),
    pale: drawn.filter((element) => paint(element) < 3).map(named),
    small: texts.filter((element) => parseFloat(getComputedStyle(element).fontSize) < 11).map(named),
    ground: light(ground(document.body)),
    texts: texts.length,
    bars: bars.length,
    rows: all(".row").length,
  };
})()
