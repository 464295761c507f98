// Draws each figure over its still picture when it comes into sight. The picture is removed only
// when plotly has drawn, so where anything is missing or fails it stays. A figure in a closed
// <details> is drawn when it is opened, at its right size.
(function () {
  if (!window.Plotly || !window.IntersectionObserver) return;

  function draw(figure) {
    var still = figure.querySelector("svg"), view = document.createElement("div");
    view.className = "live";
    figure.insertBefore(view, figure.firstChild);
    function fail() { figure.removeChild(view); }
    try {
      var about = JSON.parse(figure.querySelector("script").textContent);
      Plotly.newPlot(view, about.data, about.layout, about.config).then(function () {
        if (still) figure.removeChild(still);
        figure.classList.add("drawn");
      }, fail);
    } catch (error) { fail(); }
  }

  var watch = new IntersectionObserver(function (seen) {
    seen.forEach(function (one) {
      if (!one.isIntersecting) return;
      watch.unobserve(one.target);
      draw(one.target);
    });
  }, { rootMargin: "600px" });
  document.querySelectorAll("figure.picture").forEach(function (one) { watch.observe(one); });
})();
